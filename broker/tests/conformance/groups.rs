//! Consumer groups: sharing, joining, leaving, static members, cooperative rebalancing.

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

use crate::client::*;
use crate::cluster::Cluster;

crate::conformance!(
    members_share_partitions_and_take_over_those_of_one_that_leaves,
    cooperative_members_share_partitions_too,
    a_group_goes_on_where_it_had_committed,
    a_static_member_that_comes_back_takes_the_place_of_its_former_self,
    a_group_is_listed_and_described,
);

fn share(cluster: &Cluster, strategy: &str) {
    let topic = topic(cluster, 4, &[]);
    let group = unique("group");
    let settings = [("partition.assignment.strategy", strategy)];
    let (first, second) = (member(cluster, &group, &settings), member(cluster, &group, &settings));
    first.subscribe(&[&topic]).expect("subscribed");
    poll_until("all partitions", &[&first], || assigned(&first) == 4);
    second.subscribe(&[&topic]).expect("subscribed");
    poll_until("half of the partitions each", &[&first, &second], || (assigned(&first), assigned(&second)) == (2, 2));
    drop(first);
    poll_until("all partitions again", &[&second], || assigned(&second) == 4);
}

fn members_share_partitions_and_take_over_those_of_one_that_leaves(cluster: &Cluster) {
    share(cluster, "range");
}

fn cooperative_members_share_partitions_too(cluster: &Cluster) {
    share(cluster, "cooperative-sticky");
}

fn consume(consumer: &BaseConsumer, count: usize) {
    let mut seen = 0;
    eventually("the records", || {
        if let Some(message) = consumer.poll(std::time::Duration::from_millis(50)) {
            message.expect("a record");
            seen += 1;
        }
        (seen == count).then_some(())
    });
}

fn a_group_goes_on_where_it_had_committed(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let group = unique("group");
    let producer = producer(cluster, &[]);
    send(&producer, &topic, 0, 0..20);
    let first = member(cluster, &group, &[]);
    first.subscribe(&[&topic]).expect("subscribed");
    consume(&first, 20);
    first.commit_consumer_state(CommitMode::Sync).expect("committed");
    drop(first);
    send(&producer, &topic, 0, 20..25);
    let second = member(cluster, &group, &[]);
    second.subscribe(&[&topic]).expect("subscribed");
    consume(&second, 5);
    assert_eq!(committed(&second, &topic), rdkafka::Offset::Offset(20));
}

fn a_static_member_that_comes_back_takes_the_place_of_its_former_self(cluster: &Cluster) {
    let topic = topic(cluster, 4, &[]);
    let group = unique("group");
    let join = |instance| {
        let consumer = member(cluster, &group, &[("group.instance.id", instance)]);
        consumer.subscribe(&[&topic]).expect("subscribed");
        // Closing a static member never ends in rdkafka 0.39, whatever the broker: these are leaked.
        std::mem::ManuallyDrop::new(consumer)
    };
    let (first, former) = (join("one"), join("two"));
    poll_until("half of the partitions each", &[&first, &former], || (assigned(&first), assigned(&former)) == (2, 2));
    let before = former.assignment().expect("an assignment");
    let returned = join("two");
    poll_until("its partitions back", &[&first, &returned], || assigned(&returned) == 2);
    assert_eq!(returned.assignment().expect("an assignment"), before);
    assert_eq!(assigned(&first), 2);
    eventually("the former self to be fenced", || {
        let _ = former.poll(std::time::Duration::from_millis(20));
        former.client().fatal_error()
    });
}

fn a_group_is_listed_and_described(cluster: &Cluster) {
    let topic = topic(cluster, 1, &[]);
    let group = unique("group");
    let consumer = member(cluster, &group, &[("client.id", "looked-at")]);
    consumer.subscribe(&[&topic]).expect("subscribed");
    poll_until("an assignment", &[&consumer], || assigned(&consumer) == 1);
    let described = |state: &str| {
        let list = consumer.fetch_group_list(Some(&group), PATIENCE).ok()?;
        let found = list.groups().first()?;
        let member = found.members().first()?.client_id().to_owned();
        (found.state() == state && found.protocol_type() == "consumer").then_some(member)
    };
    assert_eq!(eventually("a stable group", || described("Stable")), "looked-at");
}
