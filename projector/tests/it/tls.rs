//! The connection to MySQL, encrypted, as far as it is asked to be.

use std::path::PathBuf;

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use projector::database;
use shared::process::{MysqlSettings, MysqlTls};

use crate::bed::Bed;

#[derive(QueryableByName)]
struct Cipher {
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

async fn cipher(settings: &MysqlSettings) -> Result<String, String> {
    let mut connection = database::connect(settings).await.map_err(|error| error.to_string())?;
    let query = diesel::sql_query("SHOW SESSION STATUS LIKE 'Ssl_cipher'");
    let cipher: Cipher = query.get_result(&mut connection).await.unwrap();
    Ok(cipher.value)
}

/// The server made its own authority when it was set up, and a certificate without a name.
#[tokio::test(flavor = "multi_thread")]
async fn each_mode_checks_what_it_says() {
    let bed = Bed::without_topics();
    database::prepare(&bed.config.mysql).await.unwrap();
    let stack = PathBuf::from(std::env::var_os("OUTBOX_TEST_STACK").unwrap());
    let authority = stack.join("data/mysql/ca.pem");
    let with = |tls, authority: Option<PathBuf>| MysqlSettings {
        mysql_tls: tls,
        mysql_tls_ca: authority,
        ..bed.config.mysql.clone()
    };
    let ours = || Some(authority.clone());
    assert_eq!(cipher(&with(MysqlTls::Off, None)).await.unwrap(), "");
    assert!(cipher(&with(MysqlTls::Encrypt, None)).await.unwrap().starts_with("TLS"));
    let refused = cipher(&with(MysqlTls::VerifyFull, None)).await.unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "a stranger's signature: {refused}");
    let refused = cipher(&with(MysqlTls::VerifyFull, ours())).await.unwrap_err();
    assert!(refused.contains("not valid for name"), "another name: {refused}");
    bed.drop_database().await;
}
