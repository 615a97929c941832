//! `worker`: what it leaves behind when it can't go on.

use crate::command::millrace;

#[test]
fn a_worker_that_cannot_start_leaves_the_reason_where_it_was_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["worker", "nothing.json", "--state-dir", "state", "--termination-log", "left.json"];
    let ended = millrace(folder.path(), &arguments);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let left = std::fs::read_to_string(folder.path().join("left.json")).expect("it was written");
    let left: serde_json::Value = serde_json::from_str(&left).expect("JSON");
    assert_eq!(left["reason"], "InvalidJob", "{left}");
    assert!(left["message"].as_str().is_some_and(|message| message.contains("nothing.json")), "{left}");
}
