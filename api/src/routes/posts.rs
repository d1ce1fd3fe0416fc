use axum::extract::State;
use axum::http::Uri;
use mongodb::bson::doc;
use shared::Id;
use shared::document::Post;
use shared::event::EventType;

use super::{App, live_user, make_once, not_live};
use crate::http::{
    ApiError, Body, CallingUser, Created, Creation, Deleted, EntityId, Found, Listed, Query,
    Written,
};
use crate::openapi::Routes;
use crate::requests::{CreatePost, ListPosts, UpdatePost};
use crate::store::{Cause, NoSecrets, Order, Write};

pub fn routes(api: Routes) -> Routes {
    let not_his = || not_live().into_iter().chain([not_author()]);
    api.get("/posts", list, "The published posts, newest first")
        .post("/posts", create, "Publish a post, or keep it as a draft")
        .refuses(not_live())
        .get("/posts/{id}", read, "One post")
        .patch("/posts/{id}", update, "Change a post: only what is given changes")
        .refuses(not_his())
        .delete("/posts/{id}", delete, "Delete a post")
        .refuses(not_his())
        .post("/posts/{id}/publish", publish, "Publish a draft")
        .refuses(not_his().chain([published_already()]))
}

async fn create(
    State(app): State<App>,
    CallingUser(user): CallingUser,
    cause: Cause,
    Creation { request, once }: Creation<CreatePost>,
) -> Result<Created<Post>, ApiError> {
    let make = async {
        let author = live_user(&app, user).await?;
        let mut write = Write::new(&cause);
        let post = request.into_document(&author, write.moment);
        write.create(&post, &NoSecrets {}, EventType::PostCreated)?;
        write.remember(&once, &post)?;
        let committed = app.store.commit(write).await?;
        Ok(Written::created(post, committed))
    };
    make_once(&app.store, &once, make).await
}

async fn list(
    State(app): State<App>,
    uri: Uri,
    Query(page, wanted): Query<ListPosts>,
) -> Result<Listed<Post>, ApiError> {
    let mut filter = doc! { "published_at": { "$ne": null }, "deleted_at": null };
    if let Some(author) = wanted.author_id {
        filter.insert("author.user_id", author);
    }
    app.store
        .list(filter, Order::Newest("published_at"), page)
        .await
        .map(|listing| Listed::new(&uri, listing))
}

async fn read(State(app): State<App>, EntityId(id): EntityId) -> Result<Found<Post>, ApiError> {
    app.store.get(id).await.map(Found::document)
}

async fn update(
    State(app): State<App>,
    EntityId(id): EntityId,
    CallingUser(user): CallingUser,
    cause: Cause,
    Body(request): Body<UpdatePost>,
) -> Result<Written<Post>, ApiError> {
    let change = |post: &mut Post, write: &mut Write| {
        require_author(post, user)?;
        request.apply(post);
        Ok(write.update(post, EventType::PostUpdated)?)
    };
    live_user(&app, user).await?;
    let (post, committed) = app.store.change(&cause, id, change).await?;
    Ok(Written::changed(post, committed))
}

async fn delete(
    State(app): State<App>,
    EntityId(id): EntityId,
    CallingUser(user): CallingUser,
    cause: Cause,
) -> Result<Deleted, ApiError> {
    let change = |post: &mut Post, write: &mut Write| {
        require_author(post, user)?;
        post.deleted_at = Some(write.moment);
        Ok(write.update(post, EventType::PostDeleted)?)
    };
    live_user(&app, user).await?;
    let (_, committed) = app.store.change(&cause, id, change).await?;
    Ok(Deleted(committed))
}

async fn publish(
    State(app): State<App>,
    EntityId(id): EntityId,
    CallingUser(user): CallingUser,
    cause: Cause,
) -> Result<Written<Post>, ApiError> {
    let change = |post: &mut Post, write: &mut Write| {
        require_author(post, user)?;
        if post.published_at.is_some() {
            return Err(published_already());
        }
        post.published_at = Some(write.moment);
        Ok(write.update(post, EventType::PostPublished)?)
    };
    live_user(&app, user).await?;
    let (post, committed) = app.store.change(&cause, id, change).await?;
    Ok(Written::changed(post, committed))
}

fn require_author(post: &Post, user: Id) -> Result<(), ApiError> {
    if post.author.user_id == user {
        return Ok(());
    }
    Err(not_author())
}

fn not_author() -> ApiError {
    ApiError::Forbidden("only the author of the post may change it")
}

fn published_already() -> ApiError {
    ApiError::StateConflict("the post is published already".to_owned())
}
