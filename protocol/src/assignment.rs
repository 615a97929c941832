//! Who owns what, by arithmetic: tasks own source partitions and key groups, workers own tasks. Nobody
//! hands anything out, so nobody can hand it out twice.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Key groups, the unit in which state is assigned to tasks and moved between them.
pub const KEY_GROUPS: u16 = 1024;

/// Most tasks of a job: one for each key group.
pub const MAX_PARALLELISM: u32 = KEY_GROUPS as u32;

/// A worker's share of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// Tasks of the job.
    pub parallelism: u32,
    /// Workers of the generation.
    pub replicas: u32,
    /// This worker's number, from 0.
    pub ordinal: u32,
}

impl Assignment {
    /// One worker with all the tasks.
    pub fn alone(parallelism: u32) -> Self {
        Self { parallelism, replicas: 1, ordinal: 0 }
    }

    /// The tasks of this worker, in order. None beyond the parallelism.
    pub fn tasks(&self) -> impl Iterator<Item = u32> + use<> {
        (self.ordinal..self.parallelism).step_by(self.replicas.max(1) as usize)
    }

    pub fn owns(&self, task: u32) -> bool {
        self.worker_of(task) == self.ordinal
    }

    pub fn worker_of(&self, task: u32) -> u32 {
        task % self.replicas.max(1)
    }

    pub fn task_of_partition(&self, partition: i32) -> u32 {
        task_of_partition(partition, self.parallelism)
    }
}

/// The task that reads a source partition.
pub fn task_of_partition(partition: i32, parallelism: u32) -> u32 {
    partition.unsigned_abs() % parallelism
}

/// The task that owns a key group.
#[inline]
pub fn task_of_key_group(group: u16, parallelism: u32) -> u32 {
    u32::from(group) * parallelism / u32::from(KEY_GROUPS)
}

/// The key groups that a task owns.
pub fn key_groups_of(task: u32, parallelism: u32) -> Range<u16> {
    let first = |task: u32| (task * u32::from(KEY_GROUPS)).div_ceil(parallelism) as u16;
    first(task)..first(task + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_one_worker_whatever_their_numbers() {
        for parallelism in 1..40 {
            for replicas in 1..=parallelism + 2 {
                let worker = |ordinal| Assignment { parallelism, replicas, ordinal };
                let mut owned: Vec<u32> = (0..replicas).flat_map(|w| worker(w).tasks()).collect();
                owned.sort_unstable();
                assert_eq!(owned, (0..parallelism).collect::<Vec<_>>());
                assert!((0..replicas).all(|w| worker(w).tasks().all(|t| worker(w).owns(t))));
            }
        }
    }

    #[test]
    fn every_key_group_has_one_task_and_no_task_is_without() {
        for parallelism in 1..=MAX_PARALLELISM {
            let mut next = 0;
            for task in 0..parallelism {
                let groups = key_groups_of(task, parallelism);
                assert_eq!(groups.start, next);
                assert!(!groups.is_empty());
                assert!(groups.clone().all(|group| task_of_key_group(group, parallelism) == task));
                next = groups.end;
            }
            assert_eq!(next, KEY_GROUPS);
        }
    }
}
