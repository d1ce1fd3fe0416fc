//! What login and token tests share: an API that believes tokens only.

use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::database::Database;
use crate::fixtures::{PASSWORD, new_supplier, new_user};
use crate::harness::Api;

pub const SECRET: &str = "a secret of more than thirty-two bytes";

/// Settings of the token mode; more may follow.
pub fn token_mode<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["--auth=token", "--token-secret", SECRET][..], more].concat()
}

/// An account with the token of its login.
pub struct Account {
    pub document: Value,
    pub token: String,
}

impl Api {
    pub async fn believing_tokens() -> Self {
        Self::with(&token_mode(&[])).await
    }

    pub async fn believing_tokens_on(database: Database) -> Self {
        Self::on_with(database, &token_mode(&[])).await
    }

    pub fn log_in(&self, kind: &str, email: &str, password: &str) -> Call {
        let body = json!({ "email": email, "password": password, "account_type": kind });
        self.post("/auth/login").json(&body)
    }

    pub async fn user_account(&self) -> Account {
        let document = self.post("/users").json(&new_user()).await.is(201).json();
        self.account("user", document).await
    }

    pub async fn supplier_account(&self) -> Account {
        let document = self.post("/suppliers").json(&new_supplier()).await.is(201).json();
        self.account("supplier", document).await
    }

    async fn account(&self, kind: &str, document: Value) -> Account {
        let answer = self.log_in(kind, email_of(&document), PASSWORD).await;
        Account { token: token_of(&answer), document }
    }
}

pub fn email_of(document: &Value) -> &str {
    document["contact_info"]["primary_email"].as_str().unwrap()
}

#[track_caller]
pub fn token_of(answer: &Answer) -> String {
    answer.is(200).json()["access_token"].as_str().unwrap().to_owned()
}
