use std::process::Command;

use super::*;
use crate::node::Node;
use ingest::kafka::KafkaErrorKind;

macro_rules! node {
    () => {
        match Node::get() {
            Some(node) => node,
            None => return,
        }
    };
}

#[test]
fn a_transaction_shows_outputs_and_offsets_together() {
    let node = node!();
    let brokers = node.brokers();
    fill(brokers, "together-in", &["a", "b", "c"]);
    let mut reader = consumer(brokers, "together", "together-in");
    let partitions = assign(&mut reader, Start::Beginning);
    let (_, next) = read(&mut reader, 2);
    let out = producer(brokers, &transactional("together"));

    out.begin().unwrap();
    send(&out, "together-out", "dropped");
    out.abort(LIMIT).unwrap();
    assert!(
        reader
            .committed(&partitions, LIMIT)
            .unwrap()
            .values()
            .all(Option::is_none)
    );

    out.begin().unwrap();
    send(&out, "together-out", "alert");
    out.commit(&reader, &next, LIMIT).unwrap();
    let committed = reader.committed(&partitions, LIMIT).unwrap();
    for (source, offset) in &next {
        assert_eq!(committed[source], Some(*offset));
    }

    let mut alerts = consumer(brokers, "together-alerts", "together-out");
    assign(&mut alerts, Start::Beginning);
    assert_eq!(read(&mut alerts, 1).0, ["alert"]);
    kcat_sees(
        brokers,
        "together-out",
        "alert ce_id=id.firing,content-type=application/json\n",
    );
}

/// What a client that is not ours reads, where it is installed.
fn kcat_sees(brokers: &str, topic: &str, expected: &str) {
    let out = Command::new("kcat")
        .args(["-b", brokers, "-t", topic, "-C", "-e", "-q", "-f", "%s %h\\n"])
        .args(["-X", "isolation.level=read_committed"])
        .output();
    match out {
        Ok(out) => assert_eq!(String::from_utf8(out.stdout).unwrap(), expected),
        Err(_) => {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "kcat is not installed"
            );
            eprintln!("SKIPPED: the look by another client needs kcat");
        }
    }
}

#[test]
fn a_second_producer_fences_the_first() {
    let node = node!();
    let brokers = node.brokers();
    fill(brokers, "fence-in", &["a"]);
    let mut reader = consumer(brokers, "fence", "fence-in");
    assign(&mut reader, Start::Beginning);
    let (_, next) = read(&mut reader, 1);
    let old = producer(brokers, &transactional("fence"));
    old.begin().unwrap();
    send(&old, "fence-out", "old");
    let new = producer(brokers, &transactional("fence"));
    let error = old.commit(&reader, &next, LIMIT).unwrap_err();
    assert_eq!(error.kind, KafkaErrorKind::Fenced, "{error}");
    new.begin().unwrap();
    send(&new, "fence-out", "new");
    new.commit(&reader, &next, LIMIT).unwrap();
    let mut outputs = consumer(brokers, "fence-out", "fence-out");
    assign(&mut outputs, Start::Beginning);
    assert_eq!(read(&mut outputs, 1).0, ["new"]);
}

#[test]
fn offsets_are_found_by_time() {
    let node = node!();
    fill(node.brokers(), "times", &["a", "b"]);
    let mut reader = consumer(node.brokers(), "times", "times");
    let partitions = assign(&mut reader, Start::Beginning);
    let message = until(&mut reader, |event| match event {
        Event::Message(message) => Some(message),
        _ => None,
    });
    let time = message.time.unwrap();
    let at = reader.offsets_at(&partitions, time, LIMIT).unwrap();
    assert_eq!(at[&message.source], Some(0));
    let later = reader.offsets_at(&partitions, time + 3_600_000, LIMIT).unwrap();
    assert!(later.values().all(Option::is_none), "{later:?}");
}

#[test]
fn work_on_revoked_partitions_is_committed_before_they_go() {
    let node = node!();
    let brokers = node.brokers();
    fill(brokers, "move-in", &["a", "b"]);
    let mut first = consumer(brokers, "move", "move-in");
    let all = assign(&mut first, Start::Beginning);
    let (_, next) = read(&mut first, 2);
    let out = producer(brokers, &transactional("move-first"));
    out.begin().unwrap();

    // The second joins; its polling thread needs no answer from us until it is given something.
    let mut second = consumer(brokers, "move", "move-in");
    let revoked = loop {
        second.poll(Duration::from_millis(10));
        match first.poll(Duration::from_millis(10)) {
            Some(Event::Revoked { partitions, lost }) => break (partitions, lost),
            _ => continue,
        }
    };
    assert_eq!(revoked, (all.clone(), false));
    out.commit(&first, &next, LIMIT).unwrap();
    first.release().unwrap();

    let mut shares = [Vec::new(), Vec::new()];
    let deadline = Instant::now() + LIMIT;
    while shares.iter().any(Vec::is_empty) && Instant::now() < deadline {
        for (member, share) in [&mut first, &mut second].into_iter().zip(&mut shares) {
            if let Some(Event::Assigned(partitions)) = member.poll(Duration::from_millis(10)) {
                let committed = member.committed(&partitions, LIMIT).unwrap();
                for (source, offset) in &committed {
                    assert_eq!(*offset, next.get(source).copied());
                }
                member.assign(&[]).unwrap();
                *share = partitions;
            }
        }
    }
    let mut together = shares.concat();
    together.sort();
    assert_eq!(together, all);
}

/// A member that is silent for too long drops out, and its late commit must not move the offsets of its successor.
#[test]
fn a_member_that_dropped_out_cannot_commit() {
    let node = node!();
    let brokers = node.brokers();
    fill(brokers, "lost-in", &["a", "b"]);
    let mut connection = ConnectionSettings::new(brokers);
    connection
        .properties
        .insert("max.poll.interval.ms".to_owned(), "1000".to_owned());
    let group = GroupSettings {
        group: "lost".to_owned(),
        instance_id: None,
        session_timeout: Duration::from_secs(1),
    };
    let mut first = Consumer::connect(&connection, &group, &["lost-in".to_owned()]).unwrap();
    assign(&mut first, Start::Beginning);
    let (_, late) = read(&mut first, 1);
    let out = producer(brokers, &transactional("lost"));
    out.begin().unwrap();
    send(&out, "lost-out", "late");

    let mut second = consumer(brokers, "lost", "lost-in");
    let partitions = assign(&mut second, Start::Beginning);
    assert_eq!(partitions.len(), 4, "the first has dropped out");
    let error = out.commit(&first, &late, LIMIT).unwrap_err();
    assert_eq!(error.kind, KafkaErrorKind::Lost, "{error}");
    out.abort(LIMIT).unwrap();

    // Nor may it after it has begun anew by itself, not knowing.
    let starts: Vec<_> = partitions.iter().map(|p| (p.clone(), Start::Beginning)).collect();
    first.assign(&starts).unwrap();
    out.begin().unwrap();
    let error = out.commit(&first, &late, LIMIT).unwrap_err();
    assert_eq!(error.kind, KafkaErrorKind::Lost, "{error}");
    out.abort(LIMIT).unwrap();
    assert!(
        second
            .committed(&partitions, LIMIT)
            .unwrap()
            .values()
            .all(Option::is_none)
    );
}

/// librdkafka refuses everything but the same commit again; without asking again the client would be stuck for ever.
#[test]
fn a_commit_without_an_answer_is_asked_for_again() {
    let node = node!();
    let brokers = node.brokers();
    fill(brokers, "again-in", &["a"]);
    let mut reader = consumer(brokers, "again", "again-in");
    assign(&mut reader, Start::Beginning);
    let (_, next) = read(&mut reader, 1);
    let out = producer(brokers, &transactional("again"));
    for patience in [0, 1, 2, 3, 5, 8].map(Duration::from_millis) {
        out.begin().unwrap();
        send(&out, "again-out", "short");
        out.flush(LIMIT).unwrap();
        if out.commit(&reader, &BTreeMap::new(), patience).is_err() {
            out.abort(LIMIT).unwrap();
        }
        out.begin().unwrap();
        send(&out, "again-out", "patient");
        out.commit(&reader, &next, LIMIT).unwrap();
    }
    let mut found = consumer(brokers, "again-found", "again-out");
    assign(&mut found, Start::Beginning);
    let mut patient = 0;
    while patient < 6 {
        patient += read(&mut found, 1)
            .0
            .iter()
            .filter(|value| *value == "patient")
            .count();
    }
}
