use super::*;
use ingest::kafka::{EmbeddedBroker, KafkaErrorKind, record_time};

#[test]
fn at_least_once_commits_what_was_processed() {
    let broker = EmbeddedBroker::start(&[("in", 2), ("out", 1)]).unwrap();
    fill(&broker.brokers(), "in", &["a", "b", "c"]);
    let mut first = consumer(&broker.brokers(), "g", "in");
    assert_eq!(assign(&mut first, Start::Beginning).len(), 2);
    let (values, next) = read(&mut first, 2);
    assert_eq!(values, ["a", "b"]);
    let out = producer(&broker.brokers(), &Delivery::AtLeastOnce);
    out.begin().unwrap();
    send(&out, "out", "alert");
    out.commit(&first, &next, LIMIT).unwrap();
    drop(first);

    let mut second = consumer(&broker.brokers(), "g", "in");
    let partitions = assigned(&mut second);
    let committed = second.committed(&partitions, LIMIT).unwrap();
    let starts: Vec<_> = committed
        .into_iter()
        .map(|(source, offset)| (source, offset.map_or(Start::Beginning, Start::At)))
        .collect();
    second.assign(&starts).unwrap();
    assert_eq!(read(&mut second, 1).0, ["c"]);

    let mut alerts = consumer(&broker.brokers(), "h", "out");
    assign(&mut alerts, Start::Beginning);
    assert_eq!(read(&mut alerts, 1).0, ["alert"]);
}

#[test]
fn a_start_is_the_owners_choice() {
    let broker = EmbeddedBroker::start(&[("in", 1)]).unwrap();
    fill(&broker.brokers(), "in", &["a", "b", "c"]);
    let mut reader = consumer(&broker.brokers(), "g", "in");
    let partitions = assign(&mut reader, Start::At(1));
    assert_eq!(read(&mut reader, 2).0, ["b", "c"]);
    assert_eq!(reader.bounds(&partitions[0], LIMIT).unwrap(), (0, 3));
    assert_eq!(reader.partition_count("in", LIMIT).unwrap(), 1);
    let missing = reader.committed(&partitions, LIMIT).unwrap();
    assert_eq!(missing[&partitions[0]], None);
}

#[test]
fn a_paused_partition_is_silent_until_resumed() {
    let broker = EmbeddedBroker::start(&[("in", 1)]).unwrap();
    let mut reader = consumer(&broker.brokers(), "g", "in");
    let partitions = assign(&mut reader, Start::Beginning);
    reader.pause(&partitions).unwrap();
    fill(&broker.brokers(), "in", &["a"]);
    let deadline = Instant::now() + Duration::from_millis(300);
    while Instant::now() < deadline {
        let event = reader.poll(Duration::from_millis(50));
        assert!(!matches!(event, Some(Event::Message(_))), "{event:?}");
    }
    reader.resume(&partitions).unwrap();
    assert_eq!(read(&mut reader, 1).0, ["a"]);
}

#[test]
fn leaving_without_an_answer_does_not_hang() {
    let broker = EmbeddedBroker::start(&[("in", 1)]).unwrap();
    let mut unanswered = consumer(&broker.brokers(), "g", "in");
    assigned(&mut unanswered);
    drop(unanswered);
    let mut answered = consumer(&broker.brokers(), "h", "in");
    assign(&mut answered, Start::End);
    drop(answered);
    drop(consumer(&broker.brokers(), "i", "in"));
}

#[test]
fn an_absent_broker_is_unavailable() {
    // Port 9 (discard) answers nowhere.
    let mut reader = consumer("127.0.0.1:9", "g", "in");
    let error = until(&mut reader, |event| match event {
        Event::Error(error) => Some(error),
        _ => None,
    });
    assert_eq!(error.kind, KafkaErrorKind::Unavailable, "{error}");
    let error = reader
        .partition_count("in", Duration::from_millis(200))
        .unwrap_err();
    assert_eq!(error.kind, KafkaErrorKind::Unavailable, "{error}");
}

/// "Nothing there" must not be what a broker that hangs is understood to say.
#[test]
fn a_record_of_a_broker_that_does_not_answer_is_not_absent() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = ConnectionSettings::new(silent.local_addr().unwrap().to_string());
    let source = TopicPartition {
        topic: "in".into(),
        partition: 0,
    };
    let answer = record_time(&connection, &source, 0, 5, Duration::from_millis(200));
    assert_eq!(answer.unwrap_err().kind, KafkaErrorKind::Unavailable);
}

#[test]
fn an_unknown_topic_is_named() {
    let broker = EmbeddedBroker::start(&[("in", 1)]).unwrap();
    let mut reader = consumer(&broker.brokers(), "g", "elsewhere");
    let error = until(&mut reader, |event| match event {
        Event::Error(error) => Some(error),
        _ => None,
    });
    assert_eq!(error.kind, KafkaErrorKind::UnknownTopic, "{error}");
}
