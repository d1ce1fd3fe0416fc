use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use mongodb::bson::doc;
use shared::document::User;
use shared::event::EventType;

use super::{App, crowded, make_once, taken};
use crate::auth::{Account, AccountKind};
use crate::http::{
    ApiError, Body, Created, Creation, Deleted, EntityId, Found, Listed, Query, Written,
};
use crate::openapi::Routes;
use crate::requests::{CreateUser, ListAll, UpdateUser};
use crate::store::{Cause, Order, UserSecrets, Write};

pub fn routes(api: Routes) -> Routes {
    api.get("/users", list, "The users, in the order in which they signed up")
        .post("/users", create, "Sign a user up")
        .refuses([taken(), crowded()])
        .get("/users/{id}", read, "One user")
        .patch("/users/{id}", update, "Change a profile: only what is given changes")
        .by_itself(AccountKind::User)
        .delete("/users/{id}", delete, "Delete a user")
        .by_itself(AccountKind::User)
}

async fn create(
    State(app): State<App>,
    cause: Cause,
    Creation { mut request, once }: Creation<CreateUser>,
) -> Result<Created<User>, ApiError> {
    let make = async {
        let password_hash = app.passwords.hash(std::mem::take(&mut request.password)).await?;
        let mut write = Write::new(&cause);
        let user = request.into_document(write.moment);
        write.create(&user, &UserSecrets { password_hash }, EventType::UserCreated)?;
        write.remember(&once, &user)?;
        let committed = app.store.commit(write).await?;
        Ok(Written::created(user, committed))
    };
    make_once(&app.store, &once, make).await
}

async fn list(
    State(app): State<App>,
    uri: Uri,
    Query(page, ListAll {}): Query<ListAll>,
) -> Result<Listed<User>, ApiError> {
    app.store
        .list(doc! { "deleted_at": null }, Order::ById, page)
        .await
        .map(|listing| Listed::new(&uri, listing))
}

async fn read(State(app): State<App>, EntityId(id): EntityId) -> Result<Found<User>, ApiError> {
    app.store.get(id).await.map(Found::document)
}

async fn update(
    State(app): State<App>,
    EntityId(id): EntityId,
    headers: HeaderMap,
    cause: Cause,
    Body(request): Body<UpdateUser>,
) -> Result<Written<User>, ApiError> {
    app.authentication.require_self(Account { kind: AccountKind::User, id }, &headers)?;
    let change = |user: &mut User, write: &mut Write| {
        request.apply(user);
        Ok(write.update(user, EventType::UserUpdated)?)
    };
    let (user, committed) = app.store.change(&cause, id, change).await?;
    Ok(Written::changed(user, committed))
}

async fn delete(
    State(app): State<App>,
    EntityId(id): EntityId,
    headers: HeaderMap,
    cause: Cause,
) -> Result<Deleted, ApiError> {
    app.authentication.require_self(Account { kind: AccountKind::User, id }, &headers)?;
    let change = |user: &mut User, write: &mut Write| {
        user.deleted_at = Some(write.moment);
        Ok(write.update(user, EventType::UserDeleted)?)
    };
    let (_, committed) = app.store.change(&cause, id, change).await?;
    Ok(Deleted(committed))
}
