use std::time::Duration;

use etcd_client::{Client, EventType, LeaseTimeToLiveOptions, PutOptions, WatchFilterType, WatchOptions};

use crate::{check, connect, expect, refusal, Result};

const TTL: i64 = 2; // Seconds; the least that every server grants as it is asked.

/// Attaches two keys to a new lease that nobody keeps alive, and returns when both are gone.
async fn await_expiry(c: &mut Client, prefix: &str) -> Result {
    let lease = c.lease_grant(TTL, None).await?.id();
    let with_lease = || Some(PutOptions::new().with_lease(lease));
    let start = c.put(format!("{prefix}1"), "x", with_lease()).await?.header().unwrap().revision();
    c.put(format!("{prefix}2"), "x", with_lease()).await?;
    let options = WatchOptions::new().with_prefix().with_start_revision(start).with_filters([WatchFilterType::NoPut]);
    let mut stream = c.watch(prefix, Some(options)).await?;
    let gone = loop {
        let response = stream.message().await?.ok_or("the watch has ended")?;
        if !response.events().is_empty() {
            break response;
        }
    };
    check!(gone.events().len() == 2, "the keys of a lease go one by one: {gone:?}");
    check!(gone.events().iter().all(|event| event.event_type() == EventType::Delete), "{gone:?}");
    expect!("the time that an expired lease has", c.lease_time_to_live(lease, None).await?.ttl(), -1);
    Ok(())
}

pub async fn tell_lease(endpoints: &[&str]) -> Result {
    let mut c = connect(endpoints).await?;
    let kept = c.lease_grant(TTL, None).await?;
    expect!("granted", kept.ttl(), TTL);
    c.put("lease/kept", "x", Some(PutOptions::new().with_lease(kept.id()))).await?;
    let (mut keeper, mut renewals) = c.lease_keep_alive(kept.id()).await?;
    let keeping = tokio::spawn(async move {
        let mut ttls = Vec::new();
        loop {
            tokio::time::sleep(Duration::from_millis(600)).await;
            if keeper.keep_alive().await.is_err() {
                return ttls;
            }
            match renewals.message().await {
                Ok(Some(renewal)) if renewal.ttl() > 0 => ttls.push(renewal.ttl()),
                _ => return ttls,
            }
        }
    });
    // Two leases expire one after the other; the kept one has then outlived its TTL for certain.
    await_expiry(&mut c, "lease/first/").await?;
    await_expiry(&mut c, "lease/second/").await?;
    let left = c.lease_time_to_live(kept.id(), Some(LeaseTimeToLiveOptions::new().with_keys())).await?;
    check!(left.ttl() >= 0 && left.granted_ttl() == TTL, "the kept lease: {left:?}");
    expect!("its keys", left.keys(), [b"lease/kept".to_vec()]);
    check!(c.leases().await?.leases().iter().any(|lease| lease.id() == kept.id()), "the list of leases lacks one");
    c.lease_revoke(kept.id()).await?;
    expect!("its key", c.get("lease/kept", None).await?.count(), 0);
    let twice = refusal(c.lease_revoke(kept.id())).await;
    expect!("revoked twice", twice, "etcdserver: requested lease not found");
    // A renewal of what is gone ends the keeper.
    let ttls = keeping.await?;
    check!(ttls.len() >= 3 && ttls.iter().all(|&ttl| ttl == TTL), "the renewals granted {ttls:?}");
    Ok(())
}
