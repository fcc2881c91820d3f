//! `thanos tools …` as users run them.

#[expect(dead_code, reason = "the tools need no server")]
mod common;

use common::{run, testdata};

/// Standard output of a tool that must succeed.
fn tool(args: &[&str]) -> String {
    let mut all = vec!["tools"];
    all.extend(args);
    let output = run(&all);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {text}");
    String::from_utf8(output.stdout).expect("text")
}

fn bucket_flag() -> String {
    let dir = testdata("query/bucket");
    format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {dir:?}}}}}")
}

#[test]
fn ls_lists_the_blocks() {
    let text = tool(&["bucket", "ls", &bucket_flag()]);
    let ids: Vec<&str> = text.lines().collect();
    assert_eq!(ids.len(), 11, "{text}");
    assert_eq!(ids[0], "01M82CCJ63Q7Y59TX0CVD4PNZB");
    let wide = tool(&["bucket", "ls", &bucket_flag(), "-o", "wide"]);
    assert!(wide.starts_with(ids[0]) && wide.lines().count() == 11, "{wide}");
}

#[test]
fn inspect_shows_a_table() {
    let text = tool(&["bucket", "inspect", &bucket_flag(), "--output=csv", "-l", "cluster=\"archive\""]);
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 4, "{text}");
    assert!(rows[0].starts_with("ULID,FROM,UNTIL"), "{text}");
    assert!(rows.iter().any(|r| r.contains("01M82CCJPB6A7JM3802KNPVP0Z") && r.contains("5m0s")), "{text}");
}

#[test]
fn verify_finds_nothing_in_sound_blocks_and_refuses_to_repair() {
    let bucket = bucket_flag();
    let text = tool(&["bucket", "verify", &bucket, "-i", "index_known_issues", "--chunks"]);
    assert_eq!(text, "");
    let check = |args: &[&str], want: &str| {
        let mut all = vec!["tools", "bucket", "verify", &bucket];
        all.extend(args);
        let output = run(&all);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && text.contains(want), "{args:?}: {text}");
    };
    let backup = "--objstore-backup.config={type: FILESYSTEM, config: {directory: /nowhere}}";
    check(&["--issues=bad_blocks"], "no such issue ID bad_blocks");
    check(&["--repair", "-i", "index_known_issues"], "--objstore-backup.config");
    check(&["--repair", backup], "no such issue ID overlapped_blocks");
    check(&["--repair", "-i", "index_known_issues", backup], "repair of index_known_issues is not supported");
    check(&["--id=01M82CCJ63Q7Y59TX0CVD4PNZB"], "id matching is not supported");
}

#[test]
fn dump_prints_chunks_and_samples() {
    let block = testdata("query/bucket/01M82CCJ63Q7Y59TX0CVD4PNZB");
    let block = block.to_str().expect("text");
    let chunks = tool(&["block", "dump", block]);
    assert!(chunks.starts_with("# block 01M82CCJ63Q7Y59TX0CVD4PNZB "), "{chunks}");
    assert_eq!(chunks.lines().filter(|l| l.starts_with('{')).count(), 83);
    let one = tool(&["block", "dump", block, "--match=up{instance=~\".*\"}", "--samples"]);
    let told: usize = one
        .lines()
        .filter_map(|l| {
            l.strip_prefix("  chunk ")?.split(" samples ").next()?.rsplit(' ').next()?.parse::<usize>().ok()
        })
        .sum();
    assert!(told > 0, "{one}");
    assert_eq!(one.lines().filter(|l| l.starts_with("    ")).count(), told);
    let missing = run(&["tools", "block", "dump", "/no/such/block"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("name the folder of a block"));
}

#[test]
fn scripts_of_promql_run() {
    let scripts = testdata("promqltest");
    let text = tool(&["promql", "test", scripts.to_str().expect("text")]);
    assert!(text.lines().count() >= 5 && !text.contains("FAILED"), "{text}");
    let dir = tempfile::tempdir().expect("a folder");
    let wrong = dir.path().join("wrong.test");
    std::fs::write(&wrong, "load 5m\n  a 1 2 3\n\neval instant at 10m a\n  a 7\n").expect("write");
    let output = run(&["tools", "promql", "test", wrong.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("FAILED"));
}
