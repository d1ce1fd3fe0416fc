//! Members of a consumer group removed from outside, as `removeMembersFromConsumerGroup`
//! of Kafka's own admin client does it. librdkafka has no call for that.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::eventually;

const SOON: Duration = Duration::from_secs(30);
/// LeaveGroup, in its first version: one member, by its id.
const API_KEY: i16 = 13;
const API_VERSION: i16 = 0;
const NO_ERROR: i16 = 0;

/// Removes all members that the group has. A member learns of it at its next heartbeat.
pub async fn all_members(bootstrap: &str, group: &str) {
    eventually("the members are removed from their group", SOON, async || {
        for member in members(bootstrap, group).await? {
            let error = leave(bootstrap, group, &member).await.map_err(|it| it.to_string())?;
            // It may have left by itself since.
            if error != NO_ERROR {
                return Err(format!("{member}: Kafka answered error {error}"));
            }
        }
        Ok(())
    })
    .await;
}

/// Their ids. None if the group does not exist.
pub async fn members(bootstrap: &str, group: &str) -> Result<Vec<String>, String> {
    let (bootstrap, group) = (bootstrap.to_owned(), group.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .create()
            .map_err(|error| error.to_string())?;
        let groups = consumer.fetch_group_list(Some(&group), Duration::from_secs(5));
        let groups = groups.map_err(|error| error.to_string())?;
        let found = groups.groups().iter().find(|it| it.name() == group);
        let members = found.into_iter().flat_map(|it| it.members());
        Ok(members.map(|member| member.id().to_owned()).collect())
    });
    asked.await.expect("it does not panic")
}

async fn leave(broker: &str, group: &str, member: &str) -> std::io::Result<i16> {
    let mut request = Vec::new();
    request.extend(API_KEY.to_be_bytes());
    request.extend(API_VERSION.to_be_bytes());
    request.extend(1_i32.to_be_bytes()); // correlation id
    for text in ["chaos", group, member] {
        request.extend(i16::try_from(text.len()).expect("a short name").to_be_bytes());
        request.extend(text.as_bytes());
    }
    let mut broker = TcpStream::connect(broker).await?;
    let length = i32::try_from(request.len()).expect("a short request");
    broker.write_all(&[&length.to_be_bytes()[..], &request].concat()).await?;
    // Its length, the correlation id, the error.
    let mut answer = [0; 10];
    broker.read_exact(&mut answer).await?;
    Ok(i16::from_be_bytes([answer[8], answer[9]]))
}
