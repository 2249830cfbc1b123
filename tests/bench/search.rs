//! How long a search of the log of results takes, from its end to its beginning.

use crate::broker::Broker;
use anyhow::{Result, ensure};
use harness::config;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use whatsapp_dispatcher::broker::results_log::{Found, find};
use whatsapp_dispatcher::config::Config;
use whatsapp_dispatcher::core::evidence::search::{FIRST_STEP, Question, Scan, Wanted};

pub(crate) const ROWS: [&str; 1] = ["search"];

pub(crate) async fn run() -> Result<()> {
    for (count, headers) in [(100_000, 100), (4_000, 60_000)] {
        println!("\nsearch: {count} results with {headers} bytes of headers, read backwards");
        let broker = Broker::fresh(&["10001".to_owned()]).await?;
        let mut publisher = broker.publisher().await?;
        for _ in 0..count {
            publisher.publish_result("accepted.10001", headers).await?;
        }
        publisher.flush().await?;
        let file = std::env::temp_dir().join(format!("search-{}.toml", std::process::id()));
        let servers = config::servers(broker.amqp(), "http://127.0.0.1:1");
        let account = config::account("1", config::TOKEN, ["10001"], 80);
        std::fs::write(&file, servers + &account)?;
        let config = Config::load(std::slice::from_ref(&file), HashMap::new(), "bench")?.broker;
        std::fs::remove_file(&file)?;
        for _ in 0..3 {
            let wanted = Wanted {
                lane: "10001".to_owned(),
                id: "none".to_owned(),
                incarnation: None,
                hops: 0,
            };
            let question = Question {
                wanted,
                former: None,
            };
            let forever = Duration::from_secs(1 << 30);
            let mut scan: Scan<Found> = Scan::new(vec![question], forever, FIRST_STEP);
            let began = Instant::now();
            find(&config, &mut scan).await?;
            let took = began.elapsed();
            println!(
                "  {} entries in {:.2} s",
                scan.entries(),
                took.as_secs_f64()
            );
            ensure!(scan.entries() >= count, "not all was read");
        }
    }
    Ok(())
}
