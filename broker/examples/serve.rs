//! Runs an embedded broker until it is interrupted: `serve [ADDRESS] [DATA_DIR]`.
//!
//! For trying clients against it by hand. For laptops and tests, never for production.

use std::error::Error;

use millrace_broker::{Broker, BrokerConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut config = BrokerConfig::default();
    if let Some(listen) = arguments.next() {
        config.listen = listen.parse()?;
    }
    if let Some(data_dir) = arguments.next() {
        config.data_dir = data_dir.into();
    }
    let broker = Broker::start(config).await?;
    println!("listening on {}", broker.address());
    tokio::signal::ctrl_c().await?;
    broker.shutdown().await?;
    Ok(())
}
