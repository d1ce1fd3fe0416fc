//! The life of an order after it was placed. Its two sides take it on: the buyer, and
//! the suppliers of its items. To anybody else it does not exist.

use axum::extract::State;
use shared::Id;
use shared::document::{Order, OrderAction, OrderItem, OrderRefusal, OrderStatus};

use super::orders::require_buyer;
use super::{App, live_supplier, live_user, not_live};
use crate::auth::{Account, AccountKind};
use crate::http::{ApiError, Body, CallingParty, CallingUser, EntityId, OptionalBody, Written};
use crate::openapi::Routes;
use crate::requests::{CancelOrder, DeliverOrder, ShipOrder};
use crate::store::{Cause, Write};

pub fn routes(api: Routes) -> Routes {
    use OrderAction::{Confirm, Process, Refund};
    let whole = |action| move |app, id, party, cause| step(action, app, id, party, cause);
    let not_now = || refused(OrderRefusal::Order(OrderStatus::Cancelled));
    api.post("/orders/{id}/confirm", whole(Confirm), "Confirm a pending order")
        .refuses(not_live().into_iter().chain([not_now()]))
        .post("/orders/{id}/process", whole(Process), "Begin to pack a confirmed order")
        .refuses(not_live().into_iter().chain([not_now()]))
        .post("/orders/{id}/ship", ship, "Send items off: those named, or all that are left")
        .refuses(not_live().into_iter().chain([not_now(), not_own_item()]))
        .post("/orders/{id}/deliver", deliver, "Items arrived: those named, or all on their way")
        .refuses(not_live().into_iter().chain([not_now(), not_own_item()]))
        .post("/orders/{id}/refund", whole(Refund), "Give the money for a delivered order back")
        .refuses(not_live().into_iter().chain([not_now()]))
        .post("/orders/{id}/cancel", cancel, "Cancel an order that nobody has begun to pack")
        .refuses(not_live().into_iter().chain([not_now()]))
}

/// A step that concerns the order as a whole.
async fn step(
    action: OrderAction,
    State(app): State<App>,
    EntityId(id): EntityId,
    party: CallingParty,
    cause: Cause,
) -> Result<Written<Order>, ApiError> {
    require_live(&app, party).await?;
    let change = |order: &mut Order, write: &mut Write| {
        require_party(order, party)?;
        order.take(action, None).map_err(refused)?;
        Ok(write.update(order, action.event_type())?)
    };
    let (order, committed) = app.store.change(&cause, id, change).await?;
    Ok(Written::changed(order, committed))
}

async fn cancel(
    State(app): State<App>,
    EntityId(id): EntityId,
    CallingUser(user): CallingUser,
    cause: Cause,
    OptionalBody(_reason): OptionalBody<CancelOrder>,
) -> Result<Written<Order>, ApiError> {
    let buyer = CallingParty(Account { kind: AccountKind::User, id: user });
    step(OrderAction::Cancel, State(app), EntityId(id), buyer, cause).await
}

async fn ship(
    State(app): State<App>,
    EntityId(id): EntityId,
    party: CallingParty,
    cause: Cause,
    Body(request): Body<ShipOrder>,
) -> Result<Written<Order>, ApiError> {
    require_live(&app, party).await?;
    let change = |order: &mut Order, write: &mut Write| {
        let named = own_items(order, party, request.item_ids.as_deref(), OrderAction::Ship)?;
        let shipped = order.take(OrderAction::Ship, named.as_deref()).map_err(refused)?;
        for item in shipped {
            request.apply(item, write.moment);
        }
        Ok(write.update(order, OrderAction::Ship.event_type())?)
    };
    let (order, committed) = app.store.change(&cause, id, change).await?;
    Ok(Written::changed(order, committed))
}

async fn deliver(
    State(app): State<App>,
    EntityId(id): EntityId,
    party: CallingParty,
    cause: Cause,
    OptionalBody(request): OptionalBody<DeliverOrder>,
) -> Result<Written<Order>, ApiError> {
    require_live(&app, party).await?;
    let change = |order: &mut Order, write: &mut Write| {
        let named = own_items(order, party, request.item_ids.as_deref(), OrderAction::Deliver)?;
        let delivered = order.take(OrderAction::Deliver, named.as_deref()).map_err(refused)?;
        for item in delivered {
            item.delivered_at = Some(write.moment);
        }
        Ok(write.update(order, OrderAction::Deliver.event_type())?)
    };
    let (order, committed) = app.store.change(&cause, id, change).await?;
    Ok(Written::changed(order, committed))
}

async fn require_live(app: &App, CallingParty(party): CallingParty) -> Result<(), ApiError> {
    match party.kind {
        AccountKind::User => live_user(app, party.id).await.map(drop),
        AccountKind::Supplier => live_supplier(app, party.id).await.map(drop),
    }
}

fn require_party(order: &Order, CallingParty(party): CallingParty) -> Result<(), ApiError> {
    match party.kind {
        AccountKind::User => require_buyer(order, party.id),
        AccountKind::Supplier if order.items.iter().any(|item| is_of(item, party.id)) => Ok(()),
        AccountKind::Supplier => Err(ApiError::NotFound("order")),
    }
}

fn is_of(item: &OrderItem, supplier: Id) -> bool {
    item.product_snapshot.supplier_id == supplier
}

/// The items that the caller means: the named ones, which must be a supplier's own, or
/// all of a supplier's that `action` concerns. `None` are all of the order that it concerns.
fn own_items(
    order: &Order,
    party: CallingParty,
    named: Option<&[String]>,
    action: OrderAction,
) -> Result<Option<Vec<String>>, ApiError> {
    require_party(order, party)?;
    let CallingParty(Account { kind: AccountKind::Supplier, id }) = party else {
        return Ok(named.map(<[String]>::to_vec));
    };
    let (own, foreign): (Vec<_>, Vec<_>) = order.items.iter().partition(|item| is_of(item, id));
    if let Some(named) = named {
        if foreign.iter().any(|item| named.contains(&item.item_id)) {
            return Err(not_own_item());
        }
        return Ok(Some(named.to_vec()));
    }
    if foreign.is_empty() {
        return Ok(None);
    }
    let left = own.iter().filter(|item| item.fulfillment_status.after(action).is_some());
    let left: Vec<_> = left.map(|item| item.item_id.clone()).collect();
    if left.is_empty() {
        return Err(ApiError::StateConflict("none of your items is left".to_owned()));
    }
    Ok(Some(left))
}

fn not_own_item() -> ApiError {
    ApiError::Forbidden("only the supplier of an item may move it")
}

fn refused(refusal: OrderRefusal) -> ApiError {
    match refusal {
        OrderRefusal::UnknownItem(_) => ApiError::invalid("item_ids", refusal.to_string()),
        OrderRefusal::Order(_) | OrderRefusal::Item(_) => {
            ApiError::StateConflict(refusal.to_string())
        }
    }
}
