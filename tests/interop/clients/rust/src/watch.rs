use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, DeleteOptions, EventType, Txn, TxnOp, WatchOptions, WatchResponse};
use tokio::sync::mpsc::{unbounded_channel, UnboundedSender};
use tokio::time::timeout;

use crate::{ask, check, connect, expect, Result};

const KILLS: usize = 3; // Every member dies once, the leader first.
const PUTS_PER_PHASE: usize = 10; // Before a kill, while the member is down, and after.

/// Puts a key that is not there yet, whatever dies meanwhile. An error leaves open whether the put happened; a repeated
/// txn on the key's absence settles it.
async fn put_once(c: &mut Client, key: String, value: String) {
    loop {
        let put = Txn::new().when([Compare::create_revision(key.clone(), CompareOp::Equal, 0)]).and_then([TxnOp::put(
            key.clone(),
            value.clone(),
            None,
        )]);
        if matches!(timeout(Duration::from_secs(3), c.txn(put)).await, Ok(Ok(_))) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends the responses with events of one watch stream until it is lost; `next` is the revision to go on with.
async fn follow(c: &mut Client, next: &mut i64, responses: &UnboundedSender<WatchResponse>) -> Result {
    let options = WatchOptions::new().with_prefix().with_prev_key().with_start_revision(*next);
    let mut stream = c.watch("watch/", Some(options)).await?;
    while let Some(response) = stream.message().await? {
        if let Some(kv) = response.events().last().and_then(|event| event.kv()) {
            *next = kv.mod_revision() + 1;
            responses.send(response)?;
        }
    }
    Ok(())
}

/// The client says so when a stream is lost; going on at another member is the caller's.
async fn watch_forever(mut c: Client, mut next: i64, responses: UnboundedSender<WatchResponse>) {
    while !responses.is_closed() {
        let _lost = follow(&mut c, &mut next, &responses).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A watch lives through the deaths of all members, and sees each event once and in order.
pub async fn tell_watch(endpoints: &[&str]) -> Result {
    let mut c = connect(endpoints).await?;
    let start = c.get("watch/", None).await?.header().unwrap().revision();
    let (sender, mut responses) = unbounded_channel();
    tokio::spawn(watch_forever(connect(endpoints).await?, start + 1, sender));
    let mut written = 0;
    for _ in 0..KILLS {
        for what in [Some("kill"), Some("restart"), None] {
            for _ in 0..PUTS_PER_PHASE {
                written += 1;
                put_once(&mut c, format!("watch/{written:03}"), written.to_string()).await;
            }
            if let Some(what) = what {
                ask(what).await?;
            }
        }
    }
    let mut seen = 0;
    while seen < written {
        for event in responses.recv().await.ok_or("the watch has ended")?.events() {
            seen += 1;
            let kv = event.kv().ok_or("an event without a pair")?;
            check!(event.event_type() == EventType::Put && kv.version() == 1, "event {seen} is {event:?}");
            expect!("the value", kv.value_str()?, seen.to_string());
        }
    }
    let deletion = c.delete("watch/", Some(DeleteOptions::new().with_prefix())).await?;
    expect!("deleted", deletion.deleted(), written as i64);
    // What comes next is the deletion of all, in one response: nothing was sent twice.
    let last = responses.recv().await.ok_or("the watch has ended")?;
    expect!("deletions", last.events().len(), written);
    for (i, event) in last.events().iter().enumerate() {
        check!(event.event_type() == EventType::Delete, "deletion {} is {event:?}", i + 1);
        expect!("what was deleted", event.prev_kv().unwrap().value_str()?, (i + 1).to_string());
        expect!("revision", event.kv().unwrap().mod_revision(), deletion.header().unwrap().revision());
    }
    Ok(())
}
