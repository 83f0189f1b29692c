//! Stories of crates.io's etcd-client.
//!
//!     stories stories ENDPOINTS                        tells all stories, a line each
//!     stories lock ENDPOINTS LOCK COUNTER ROUNDS       adds to a counter under a lock that others share

mod kv;
mod lease;
mod lock;
mod watch;

use std::future::Future;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions};

pub type Failure = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T = ()> = std::result::Result<T, Failure>;

/// How long a story may take.
const STORY_LIMIT: Duration = Duration::from_secs(60);

/// Ends the story with the formatted text unless the condition holds.
#[macro_export]
macro_rules! check {
    ($held:expr, $($what:tt)+) => {
        if !$held {
            return Err(format!($($what)+).into());
        }
    };
}

/// Ends the story unless both are equal.
#[macro_export]
macro_rules! expect {
    ($what:expr, $actual:expr, $expected:expr) => {
        match (&$actual, &$expected) {
            (actual, expected) => {
                $crate::check!(actual == expected, "{}: expected {:?}, got {:?}", $what, expected, actual)
            }
        }
    };
}

/// A client of all members that requires a leader, as most that watch do.
pub async fn connect(endpoints: &[&str]) -> Result<Client> {
    let options = ConnectOptions::new().with_connect_timeout(Duration::from_secs(5)).with_require_leader(true);
    Ok(Client::connect(endpoints, Some(options)).await?)
}

/// What a call that must be refused is told.
pub async fn refusal<T>(call: impl Future<Output = std::result::Result<T, etcd_client::Error>>) -> String {
    match call.await {
        Ok(_) => "nothing".to_string(),
        Err(etcd_client::Error::GRpcStatus(status)) => status.message().to_string(),
        Err(other) => other.to_string(),
    }
}

/// Has the runner do something and waits until it is done. The answer is read by a thread of its own, so that streams
/// go on meanwhile.
pub async fn ask(what: &str) -> Result {
    println!("ask {what}");
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    check!(answer.await?? == "done\n", "the runner did not {what}");
    Ok(())
}

async fn limited(story: impl Future<Output = Result>) -> Result {
    tokio::time::timeout(STORY_LIMIT, story).await.unwrap_or_else(|_| Err("took too long".into()))
}

async fn tell_all(endpoints: &[&str]) -> Result {
    macro_rules! tell {
        ($name:literal, $story:expr) => {
            limited($story).await.map_err(|failure| format!("{}: {failure}", $name))?;
            println!("ok {}", $name);
        };
    }
    tell!("kv", kv::tell_kv(endpoints));
    tell!("range", kv::tell_range(endpoints));
    tell!("txn", kv::tell_txn(endpoints));
    tell!("compaction", kv::tell_compaction(endpoints));
    tell!("lease", lease::tell_lease(endpoints));
    tell!("lock", lock::tell_lock(endpoints));
    tell!("election", lock::tell_election(endpoints));
    tell!("watch", watch::tell_watch(endpoints));
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let told = match arguments[..] {
        ["stories", endpoints] => tell_all(&endpoints.split(',').collect::<Vec<_>>()).await,
        ["lock", endpoints, lock, counter, rounds] => {
            let endpoints: Vec<&str> = endpoints.split(',').collect();
            limited(lock::count_under_lock(&endpoints, lock, counter, rounds.parse().expect("ROUNDS is a number")))
                .await
        }
        _ => {
            eprintln!("usage: stories stories ENDPOINTS | stories lock ENDPOINTS LOCK COUNTER ROUNDS");
            std::process::exit(2);
        }
    };
    if let Err(failure) = told {
        println!("FAILED {failure}");
        std::process::exit(1);
    }
}
