//! A database that exists as long as the test that made it.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, doc, oid::ObjectId};
use mongodb::{Client, Collection};

/// Everything the API keeps, in the order in which a snapshot lists it.
const COLLECTIONS: [&str; 7] =
    ["users", "suppliers", "products", "orders", "posts", "outbox", "idempotency_keys"];

pub struct Database {
    pub name: String,
    inner: mongodb::Database,
}

/// Where the test servers are; says how to get them if there are none.
pub fn mongodb_url() -> String {
    assert!(
        std::env::var_os("OUTBOX_TEST_STACK").is_some(),
        "run through `make test` or `deploy/local/with-test-servers cargo test -p api`: \
         these tests never touch the servers you work with"
    );
    std::env::var("MONGODB_URL").expect("MONGODB_URL names the test set's MongoDB")
}

impl Database {
    pub async fn fresh() -> Self {
        let client = Client::with_uri_str(mongodb_url()).await.unwrap();
        let name = format!("api_rest_{}", ObjectId::new());
        let inner = client.database(&name);
        Self { name, inner }
    }

    pub fn collection(&self, name: &str) -> Collection<Document> {
        self.inner.collection(name)
    }

    pub async fn collection_names(&self) -> Vec<String> {
        self.inner.list_collection_names().await.unwrap()
    }

    /// The stored document, secrets and all.
    pub async fn stored(&self, collection: &str, id: &str) -> Option<Document> {
        let id = ObjectId::parse_str(id).unwrap();
        self.collection(collection).find_one(doc! { "_id": id }).await.unwrap()
    }

    pub async fn all(&self, collection: &str) -> Vec<Document> {
        let found = self.collection(collection).find(doc! {}).sort(doc! { "_id": 1 }).await;
        found.unwrap().try_collect().await.unwrap()
    }

    /// Everything there is: equal before and after means that nothing was written.
    pub async fn snapshot(&self) -> BTreeMap<&'static str, Vec<Document>> {
        let mut snapshot = BTreeMap::new();
        for name in COLLECTIONS {
            snapshot.insert(name, self.all(name).await);
        }
        snapshot
    }

    /// MongoDB's logical clock.
    pub async fn operation_time(&self) -> mongodb::bson::Timestamp {
        let reply = self.inner.run_command(doc! { "ping": 1 }).await.unwrap();
        reply.get_timestamp("operationTime").unwrap()
    }

    /// 2: the server notes every operation in system.profile; 0: none.
    pub async fn profile(&self, level: i32) {
        self.inner.run_command(doc! { "profile": level }).await.unwrap();
    }

    /// Changes a stored document behind the API's back, to a state that would take
    /// many requests to reach.
    pub async fn set(&self, collection: &str, id: &str, field: &str, value: impl Into<Bson>) {
        let id = ObjectId::parse_str(id).unwrap();
        let update = doc! { "$set": { field: value.into() } };
        let done = self.collection(collection).update_one(doc! { "_id": id }, update).await;
        assert_eq!(done.unwrap().matched_count, 1, "{collection} has no {id}");
    }
}

impl Drop for Database {
    /// On a thread with a client of its own: the test's runtime is stopping, perhaps
    /// because the test has failed.
    fn drop(&mut self) {
        let (url, name) = (mongodb_url(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let client = Client::with_uri_str(url).await.unwrap();
                client.database(&name).drop().await.unwrap();
            });
        });
        if dropping.join().is_err() {
            eprintln!("database {} is left behind", self.name);
        }
    }
}
