//! The Python system kept its users in a collection called `User`.

use bson::{RawBsonRef, RawDocumentBuf, doc, oid::ObjectId};
use futures::TryStreamExt as _;
use mongodb::error::{Error, ErrorKind, Result};
use mongodb::options::WriteConcern;
use mongodb::{Collection, Database};
use shared::event::Domain;

use super::report::Report;

const LEGACY: &str = "User";
/// Users a transaction.
const PAGE: i64 = 100;
const DUPLICATE_KEY: i32 = 11000;

/// Makes `users` of `User`: by its name where there is no `users` yet, else one page of
/// users after the other. Who cannot move, as the e-mail address is taken, stays behind
/// and is reported.
///
/// # Errors
/// Where MongoDB is away or refuses.
pub async fn take_over(database: &Database, report: &mut Report) -> Result<()> {
    let names = database.list_collection_names().await?;
    let exists = |name: &str| names.iter().any(|it| it == name);
    if !exists(LEGACY) {
        return Ok(());
    }
    if !exists(Domain::User.collection()) {
        report.moved_users =
            database.collection::<RawDocumentBuf>(LEGACY).estimated_document_count().await?;
        return rename(database).await;
    }
    let legacy: Collection<RawDocumentBuf> = database.collection(LEGACY);
    let mut after = None;
    loop {
        let page = page_after(&legacy, after).await?;
        let Some(last) = page.last() else {
            break;
        };
        after = last.get_object_id("_id").ok();
        for (user, moved) in move_all(database, page).await? {
            match moved {
                Ok(()) => report.moved_users += 1,
                Err(why) => report.refuse(LEGACY, id_of(&user), why),
            }
        }
        // An _id that is no ObjectId sorts before all others, and cannot be paged by.
        if after.is_none() {
            break;
        }
    }
    if legacy.find_one(doc! {}).await?.is_none() {
        legacy.drop().await?;
    }
    Ok(())
}

async fn rename(database: &Database) -> Result<()> {
    let full_name = |name: &str| format!("{}.{name}", database.name());
    let rename =
        doc! {"renameCollection": full_name(LEGACY), "to": full_name(Domain::User.collection())};
    database.client().database("admin").run_command(rename).await?;
    Ok(())
}

async fn page_after(
    legacy: &Collection<RawDocumentBuf>,
    after: Option<ObjectId>,
) -> Result<Vec<RawDocumentBuf>> {
    let filter = match after {
        Some(after) => doc! {"_id": {"$gt": after}},
        None => doc! {},
    };
    legacy.find(filter).sort(doc! {"_id": 1}).limit(PAGE).await?.try_collect().await
}

type Moved = (RawDocumentBuf, std::result::Result<(), String>);

/// Together, or one by one where one of them is in the way of the others.
async fn move_all(database: &Database, users: Vec<RawDocumentBuf>) -> Result<Vec<Moved>> {
    match relocate(database, &users).await {
        Ok(()) => return Ok(users.into_iter().map(|user| (user, Ok(()))).collect()),
        Err(error) if !is_duplicate(&error) => return Err(error),
        Err(_) => {}
    }
    let mut outcomes = Vec::with_capacity(users.len());
    for user in users {
        let outcome = match relocate(database, std::slice::from_ref(&user)).await {
            Ok(()) => Ok(()),
            Err(error) if is_duplicate(&error) => {
                Err("its id or e-mail address is taken in users".to_owned())
            }
            Err(error) => return Err(error),
        };
        outcomes.push((user, outcome));
    }
    Ok(outcomes)
}

async fn relocate(database: &Database, users: &[RawDocumentBuf]) -> Result<()> {
    let mut session = database.client().start_session().await?;
    session
        .start_transaction()
        .write_concern(WriteConcern::majority())
        .and_run((database, users), |session, (database, users)| {
            Box::pin(async move {
                let to = database.collection::<RawDocumentBuf>(Domain::User.collection());
                to.insert_many(*users).session(&mut *session).await?;
                let ids = users.iter().filter_map(|user| user.get("_id").ok().flatten());
                let ids: Vec<bson::Bson> =
                    ids.filter_map(|id| bson::Bson::try_from(id).ok()).collect();
                let from = database.collection::<RawDocumentBuf>(LEGACY);
                from.delete_many(doc! {"_id": {"$in": ids}}).session(session).await?;
                Ok(())
            })
        })
        .await
}

fn is_duplicate(error: &Error) -> bool {
    match error.kind.as_ref() {
        ErrorKind::InsertMany(inserts) => {
            inserts.write_errors.iter().flatten().any(|error| error.code == DUPLICATE_KEY)
        }
        ErrorKind::Command(command) => command.code == DUPLICATE_KEY,
        _ => false,
    }
}

fn id_of(user: &RawDocumentBuf) -> String {
    match user.get("_id") {
        Ok(Some(RawBsonRef::ObjectId(id))) => id.to_hex(),
        Ok(Some(other)) => format!("{other:?}"),
        _ => "(without _id)".to_owned(),
    }
}
