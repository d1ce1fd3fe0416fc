//! The Python system kept its users in a collection called `User`.
//!
//! It may still write there. So each page is read in the transaction that moves it: a
//! user who is changed meanwhile makes it begin again. And `User` is never dropped: in
//! whatever moment that were, somebody may just have signed up.

use bson::{Bson, RawBsonRef, RawDocumentBuf, doc};
use futures::TryStreamExt as _;
use mongodb::error::{Error, ErrorKind, Result};
use mongodb::options::{ReadConcern, WriteConcern};
use mongodb::{ClientSession, Collection, Database};
use shared::event::Domain;

use super::report::Report;

const LEGACY: &str = "User";
/// Users a transaction.
const PAGE: usize = 100;
const DUPLICATE_KEY: i32 = 11000;
const NAMESPACE_EXISTS: i32 = 48;

/// Makes `users` of `User`: by its name if there is no `users` yet, then one page of users
/// after the other. Who cannot move, as the e-mail address is taken, stays behind and is
/// reported.
///
/// # Errors
/// If MongoDB is away or refuses.
pub async fn take_over(database: &Database, report: &mut Report) -> Result<()> {
    let names = database.list_collection_names().await?;
    let exists = |name: &str| names.iter().any(|it| it == name);
    if !exists(LEGACY) {
        return Ok(());
    }
    if !exists(Domain::User.collection()) && rename(database).await? {
        let users = database.collection::<RawDocumentBuf>(Domain::User.collection());
        report.moved_users = users.count_documents(doc! {}).await?;
    }
    // Also after the renaming: a sign-up makes a new `User`.
    loop {
        let pass = pass(database).await?;
        report.moved_users += pass.moved;
        if pass.moved == 0 {
            for id in pass.in_the_way {
                report.refuse(LEGACY, name_of(&id), TAKEN.to_owned());
            }
            return Ok(());
        }
    }
}

/// What came of the users that `User` held.
#[derive(Default)]
struct Pass {
    moved: u64,
    /// Their place is taken.
    in_the_way: Vec<Bson>,
}

async fn pass(database: &Database) -> Result<Pass> {
    let mut pass = Pass::default();
    let legacy: Collection<RawDocumentBuf> = database.collection(LEGACY);
    let users = legacy.find(doc! {}).projection(doc! {"_id": 1}).await?;
    let mut pages = users.try_chunks(PAGE);
    while let Some(page) = pages.try_next().await.map_err(|error| error.1)? {
        let ids: Vec<Bson> = page.iter().filter_map(id_of).collect();
        match relocate(database, &ids).await {
            Ok(moved) => pass.moved += moved,
            // One of them is in the way of the others.
            Err(error) if is_duplicate(&error) => one_by_one(database, ids, &mut pass).await?,
            Err(error) => return Err(error),
        }
    }
    Ok(pass)
}

async fn one_by_one(database: &Database, ids: Vec<Bson>, pass: &mut Pass) -> Result<()> {
    for id in ids {
        match relocate(database, std::slice::from_ref(&id)).await {
            Ok(moved) => pass.moved += moved,
            Err(error) if is_duplicate(&error) => pass.in_the_way.push(id),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

const TAKEN: &str = "its id or e-mail address is taken in users";

/// False if somebody made `users` in this very moment.
async fn rename(database: &Database) -> Result<bool> {
    let full_name = |name: &str| format!("{}.{name}", database.name());
    let rename =
        doc! {"renameCollection": full_name(LEGACY), "to": full_name(Domain::User.collection())};
    match database.client().database("admin").run_command(rename).await {
        Ok(_) => Ok(true),
        Err(error) if code(&error) == Some(NAMESPACE_EXISTS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns how many of them were there to be moved.
async fn relocate(database: &Database, ids: &[Bson]) -> Result<u64> {
    let mut session = database.client().start_session().await?;
    session
        .start_transaction()
        .read_concern(ReadConcern::snapshot())
        .write_concern(WriteConcern::majority())
        .and_run((database, ids), |session, (database, ids)| {
            Box::pin(async move { attempt(session, database, ids).await })
        })
        .await
}

async fn attempt(session: &mut ClientSession, database: &Database, ids: &[Bson]) -> Result<u64> {
    let from = database.collection::<RawDocumentBuf>(LEGACY);
    let these = doc! {"_id": {"$in": ids}};
    let mut found = from.find(these.clone()).session(&mut *session).await?;
    let users: Vec<RawDocumentBuf> = found.stream(session).try_collect().await?;
    if users.is_empty() {
        return Ok(0);
    }
    // Whoever changes one of them from here on is refused, or refuses this transaction.
    from.delete_many(these).session(&mut *session).await?;
    let to = database.collection::<RawDocumentBuf>(Domain::User.collection());
    to.insert_many(&users).session(&mut *session).await?;
    Ok(users.len() as u64)
}

fn is_duplicate(error: &Error) -> bool {
    match error.kind.as_ref() {
        ErrorKind::InsertMany(inserts) => {
            inserts.write_errors.iter().flatten().any(|error| error.code == DUPLICATE_KEY)
        }
        _ => code(error) == Some(DUPLICATE_KEY),
    }
}

fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

fn id_of(user: &RawDocumentBuf) -> Option<Bson> {
    user.get("_id").ok().flatten().and_then(|id: RawBsonRef<'_>| Bson::try_from(id).ok())
}

fn name_of(id: &Bson) -> String {
    match id {
        Bson::ObjectId(id) => id.to_hex(),
        other => format!("{other:?}"),
    }
}
