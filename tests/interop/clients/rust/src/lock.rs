use etcd_client::{Client, GetOptions, LockOptions, ProclaimOptions, ResignOptions};

use crate::{ask, check, connect, expect, refusal, Result};

const TTL: i64 = 60; // Seconds; longer than any story.

async fn grant(c: &mut Client) -> Result<i64> {
    Ok(c.lease_grant(TTL, None).await?.id())
}

async fn lock(c: &mut Client, name: &str, lease: i64) -> Result<Vec<u8>> {
    Ok(c.lock(name, Some(LockOptions::new().with_lease(lease))).await?.key().to_vec())
}

async fn await_queue(c: &mut Client, prefix: &str, keys: i64) -> Result {
    let count = || Some(GetOptions::new().with_prefix().with_count_only());
    while c.get(prefix, count()).await?.count() != keys {
        tokio::task::yield_now().await;
    }
    Ok(())
}

pub async fn tell_lock(endpoints: &[&str]) -> Result {
    let mut one = connect(endpoints).await?;
    let mut two = connect(endpoints).await?;
    let first_lease = grant(&mut one).await?;
    let first = lock(&mut one, "lock", first_lease).await?;
    let second_lease = grant(&mut two).await?;
    let mut waiting = two.clone();
    let second = tokio::spawn(async move { lock(&mut waiting, "lock", second_lease).await });
    await_queue(&mut one, "lock/", 2).await?;
    check!(!second.is_finished(), "two hold one lock");
    one.unlock(first).await?;
    let second = second.await??;
    expect!("the key of a lock", second, format!("lock/{second_lease:x}").into_bytes());
    // The end of a lease lets go of its lock.
    two.lease_revoke(second_lease).await?;
    let again = lock(&mut one, "lock", first_lease).await?;
    one.unlock(again).await?;
    Ok(())
}

pub async fn tell_election(endpoints: &[&str]) -> Result {
    let mut one = connect(endpoints).await?;
    let mut two = connect(endpoints).await?;
    expect!("a leader before the election", refusal(one.leader("election")).await, "election: no leader");
    let lease = grant(&mut one).await?;
    let first = one.campaign("election", "one", lease).await?.take_leader().ok_or("a leader without a key")?;
    let mut observed = two.observe("election").await?;
    macro_rules! next {
        ($what:expr, $value:expr) => {
            let answer = observed.message().await?.ok_or("the observer's stream has ended")?;
            expect!($what, answer.kv().unwrap().value(), $value);
        };
    }
    next!("the first leader", b"one");
    let lease = grant(&mut two).await?;
    let mut waiting = two.clone();
    let second = tokio::spawn(async move { waiting.campaign("election", "two", lease).await });
    await_queue(&mut one, "election/", 2).await?;
    one.proclaim("one again", Some(ProclaimOptions::new().with_leader(first.clone()))).await?;
    next!("the proclamation", b"one again");
    expect!("the leader", two.leader("election").await?.kv().unwrap().value(), b"one again");
    check!(!second.is_finished(), "two lead");
    one.resign(Some(ResignOptions::new().with_leader(first))).await?;
    let second = second.await??.take_leader().ok_or("a leader without a key")?;
    next!("the second leader", b"two");
    two.resign(Some(ResignOptions::new().with_leader(second))).await?;
    Ok(())
}

/// Reads the counter and writes one more, in two steps that only the lock holds together.
pub async fn count_under_lock(endpoints: &[&str], name: &str, counter: &str, rounds: usize) -> Result {
    let mut c = connect(endpoints).await?;
    let lease = grant(&mut c).await?;
    ask("start").await?;
    for _ in 0..rounds {
        let key = lock(&mut c, name, lease).await?;
        let got = c.get(counter, None).await?;
        let number = match got.kvs().first() {
            Some(kv) => kv.value_str()?.split(' ').next().unwrap_or_default().parse::<i64>()?,
            None => 0,
        };
        c.put(counter, format!("{} rust", number + 1), None).await?;
        c.unlock(key).await?;
    }
    c.lease_revoke(lease).await?;
    Ok(())
}
