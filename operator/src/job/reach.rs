//! Whether the pods of a new generation find the state of those before: on a volume that they keep, in the logs, or in the
//! object store that both know. The logs are cut for what the object store has, so that one is not left by accident.

use millrace_crds::stream_job::{CheckpointStorage, ObjectStore};

/// Why they don't; None where they do. `moves`: tasks go to other pods.
pub(super) fn out_of_reach(before: &CheckpointStorage, after: &CheckpointStorage, moves: bool) -> Option<String> {
    let store = before.object_store.as_ref()?;
    if after.object_store.as_ref().is_some_and(|other| place(other) == place(store)) {
        return None;
    }
    let why = if before.volume.is_none() {
        "the pods have no volume that would keep it: give them one (checkpoint.storage.volume) first, and change objectStore \
         once they run with it"
    } else if before.volume != after.volume {
        "the volume changes at the same time: change objectStore alone, and the volume once the object store has checkpoints \
         of every task"
    } else if moves {
        "the number of pods changes at the same time: change objectStore alone, and replicas once the object store has \
         checkpoints of every task"
    } else {
        return None;
    };
    Some(format!("spec.checkpoint.storage.objectStore: the state is in {}, and {why}", store.url))
}

fn place(store: &ObjectStore) -> (&str, Option<&str>) {
    (store.url.trim_end_matches('/'), store.endpoint.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn storage(volume: Option<&str>, url: Option<&str>) -> CheckpointStorage {
        let volume = volume.map(|size| json!({"size": size}));
        let store = url.map(|url| json!({"url": url, "secretRef": {"name": "any"}}));
        serde_json::from_value(json!({"volume": volume, "objectStore": store})).expect("a storage")
    }

    #[test]
    fn an_object_store_changes_alone_and_beside_volumes_that_stay() {
        let (small, large) = (Some("1Gi"), Some("2Gi"));
        let (a, b) = (Some("s3://a/x"), Some("s3://b"));
        let found = |before: (Option<&str>, Option<&str>), after: (Option<&str>, Option<&str>), moves| {
            out_of_reach(&storage(before.0, before.1), &storage(after.0, after.1), moves)
        };
        for (before, after, moves) in [
            ((small, a), (small, b), false),
            ((small, a), (small, None), false),
            ((small, a), (large, Some("s3://a/x/")), true),
            ((small, None), (large, b), true),
            ((None, a), (large, a), false),
        ] {
            assert_eq!(found(before, after, moves), None, "{before:?} to {after:?}");
        }
        for (before, after, moves, expected) in [
            ((small, a), (large, b), false, "the volume changes"),
            ((small, a), (None, b), false, "the volume changes"),
            ((small, a), (large, None), false, "the volume changes"),
            ((small, a), (small, b), true, "the number of pods changes"),
            ((None, a), (None, b), false, "give them one"),
            ((None, a), (small, b), false, "give them one"),
        ] {
            let why = found(before, after, moves).unwrap_or_default();
            assert!(why.contains("s3://a/x") && why.contains(expected), "{before:?} to {after:?}: {why}");
        }
    }
}
