//! Input topics that change while an agent runs, or while none does: partitions are added, records deleted, a topic deleted and made
//! again. Each time what is found in the end is held against agents that were disturbed by nothing.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::support::admin;
use crate::support::agent::{Agent, until};
use crate::support::broker::{Broker, Shared};
use crate::support::scene::{KINDS, Outputs, Scene, assert_same, chain, records, stop};
use crate::support::stream::{self, PARTITIONS};

const SAMPLES: usize = 120;
/// No state topic: the lookback is read again instead.
const OFF: &str = "state.topic=off";

fn scene(topic: &'static str, partitions: i32) -> Option<Scene<Shared>> {
    let scene = Scene::new(Shared::start()?, topic)?;
    admin::create(&scene.broker.client(), &[(topic, partitions)]);
    Some(scene)
}

/// What was written before anybody had noticed the partition is not skipped, however a group is to begin.
#[test]
fn an_added_partition_is_found_and_read_from_its_oldest_record() {
    let Some(scene) = scene("grown", PARTITIONS - 1) else {
        return;
    };
    let records = records(SAMPLES);
    let (added, there): (Vec<_>, Vec<_>) = records
        .iter()
        .cloned()
        .partition(|r| r.partition == PARTITIONS - 1);
    let groups = [("grown-latest", "latest"), ("grown-lookback", "lookback")];
    let agents = groups.map(|(group, start)| scene.start(group, &[&format!("kafka.start={start}")]));
    let (half, rest) = there.split_at(there.len() / 2);
    let begun = stream::ends(&there).into_keys().map(|p| (p, 0)).collect();
    groups
        .into_iter()
        .for_each(|(group, _)| scene.wait(group, &begun));
    scene.broker.feed(scene.topic, half);
    admin::extend(&scene.broker.client(), scene.topic, 4);
    let extended = Instant::now();
    scene.broker.feed(scene.topic, &added);
    scene.broker.feed(scene.topic, rest);
    for (group, _) in groups {
        scene.wait(group, &stream::ends(&records));
        println!("{group}: all of the new partition after {:?}", extended.elapsed());
    }
    for agent in agents {
        let log = stop(agent);
        assert!(log.contains("the partition was added"), "{log}");
    }
    let whole = scene.undisturbed("grown-whole", &stream::ends(&records));
    for (group, _) in groups {
        assert_same(&scene.outputs(group), &whole);
    }
}

/// Once at once, so that the group never misses it, and once for longer.
#[test]
fn a_topic_made_again_under_a_running_agent_is_read_from_its_oldest_record() {
    let Some(scene) = scene("remade", PARTITIONS) else {
        return;
    };
    let groups = ["remade-plain", "remade-kept"];
    let agents = [scene.start(groups[0], &[OFF]), scene.start(groups[1], &[])];
    let mut whole = Vec::new();
    for (life, samples) in [SAMPLES, SAMPLES - 20, SAMPLES - 10].into_iter().enumerate() {
        if life == 2 {
            admin::delete(&scene.broker.client(), &[scene.topic]);
            for agent in &agents {
                let reason = until("not ready", || {
                    Some(agent.get("/readyz")).filter(|(status, _)| *status == 503)
                });
                println!("readyz without the topic: {}", reason.1);
            }
            admin::create(&scene.broker.client(), &[(scene.topic, PARTITIONS)]);
        } else if life == 1 {
            scene.remake();
        }
        let made = Instant::now();
        let records = records(samples);
        scene.broker.feed(scene.topic, &records);
        for group in groups {
            scene.wait(group, &stream::ends(&records));
            println!("{group}: all of topic {life} after {:?}", made.elapsed());
        }
        agents.iter().for_each(Agent::ready);
        whole.push(scene.undisturbed(&format!("remade-whole-{life}"), &stream::ends(&records)));
    }
    for agent in agents {
        let anew = agent.metric("agent_partitions_anew_total");
        assert_eq!(anew, Some(2.0 * f64::from(PARTITIONS)));
        let log = stop(agent);
        assert!(log.contains("the topic was made anew"), "{log}");
    }
    let whole = chain(whole);
    groups
        .into_iter()
        .for_each(|group| assert_same(&scene.outputs(group), &whole));
}

/// The broker forgets what was committed of a topic with the topic. State says that there was something.
#[test]
fn a_topic_made_again_while_no_agent_runs_is_read_from_its_oldest_record() {
    let Some(scene) = scene("swapped", PARTITIONS) else {
        return;
    };
    let groups: [(&str, &[&str]); 2] = [
        ("swapped-plain", &[OFF]),
        ("swapped-kept", &["kafka.start=latest"]),
    ];
    let nothing = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    let agents = groups.map(|(group, settings)| scene.start(group, settings));
    groups
        .into_iter()
        .for_each(|(group, _)| scene.wait(group, &nothing));
    let first = records(SAMPLES);
    scene.broker.feed(scene.topic, &first);
    groups
        .into_iter()
        .for_each(|(group, _)| scene.wait(group, &stream::ends(&first)));
    agents.into_iter().for_each(|agent| drop(stop(agent)));
    let before = scene.undisturbed("swapped-whole-0", &stream::ends(&first));
    scene.remake();
    let second = records(SAMPLES - 20);
    scene.broker.feed(scene.topic, &second);
    for (group, settings) in groups {
        let agent = scene.start(group, settings);
        scene.wait(group, &stream::ends(&second));
        let log = stop(agent);
        let is_said = log.contains("the topic was made anew");
        assert_eq!(is_said, group == "swapped-kept", "{log}");
    }
    let after = scene.undisturbed("swapped-whole-1", &stream::ends(&second));
    let whole = chain([before, after]);
    groups
        .into_iter()
        .for_each(|(group, _)| assert_same(&scene.outputs(group), &whole));
}

/// What is gone is gone, and said to be; nothing else is lost, and nothing said twice.
#[test]
fn records_deleted_before_they_were_processed_are_counted() {
    let Some(scene) = scene("expired", PARTITIONS) else {
        return;
    };
    let groups: [(&str, &[&str]); 2] = [
        ("expired-plain", &[OFF]),
        ("expired-kept", &["state.lookback=0s"]),
    ];
    let records = records(SAMPLES);
    let (first, rest) = records.split_at(records.len() / 2);
    let (gap, rest) = rest.split_at(rest.len() / 4);
    let agents = groups.map(|(group, settings)| scene.start(group, settings));
    scene.broker.feed(scene.topic, first);
    groups
        .into_iter()
        .for_each(|(group, _)| scene.wait(group, &stream::ends(first)));
    agents.into_iter().for_each(|agent| drop(stop(agent)));
    let said = groups.map(|(group, _)| scene.outputs(group));
    scene.broker.feed(scene.topic, gap);
    let before = stream::ends(&[first, gap].concat());
    admin::expire(&scene.broker.client(), scene.topic, &before);
    scene.broker.feed(scene.topic, rest);
    for ((group, settings), said) in groups.into_iter().zip(said) {
        let agent = scene.start(group, settings);
        scene.wait(group, &stream::ends(&records));
        let lost = agent.metric("agent_records_expired_total");
        assert_eq!(lost, Some(gap.len() as f64));
        let log = stop(agent);
        assert!(log.contains("deleted before they were processed"), "{log}");
        let found = scene.outputs(group);
        for (kind, (found, said)) in KINDS.iter().zip(found.iter().zip(&said)) {
            for (key, values) in found {
                let before = said.get(key).map_or(&[][..], Vec::as_slice);
                assert_eq!(
                    &values[..before.len()],
                    before,
                    "{kind} of {key}: what was said stands"
                );
                let distinct: BTreeSet<&String> = values.iter().collect();
                assert_eq!(
                    distinct.len(),
                    values.len(),
                    "{kind} of {key}: nothing is said twice"
                );
            }
        }
        let count = |of: &Outputs| of[1].values().map(Vec::len).sum::<usize>();
        assert!(
            count(&found) > count(&said) + rest.len() / 2,
            "{group}: the rest is scored"
        );
    }
}
