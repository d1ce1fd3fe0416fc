use super::*;

/// Every state × action pair; what is not listed is refused.
#[test]
fn the_state_machine_allows_exactly_the_contracts_transitions() {
    use OrderAction::*;
    use OrderStatus::*;
    let allowed = [
        (Pending, Confirm, Confirmed),
        (Confirmed, Process, Processing),
        (Processing, Ship, Shipped),
        (Shipped, Deliver, Delivered),
        (Pending, Cancel, Cancelled),
        (Confirmed, Cancel, Cancelled),
        (Delivered, Refund, Refunded),
    ];
    for state in OrderStatus::ALL {
        for action in OrderAction::ALL {
            let expected = allowed
                .iter()
                .find(|(from, by, _)| (*from, *by) == (state, action))
                .map(|(_, _, to)| *to);
            assert_eq!(state.after(action), expected, "{state:?} by {action:?}");
        }
    }
}

#[test]
fn status_text_is_what_serde_writes() {
    for status in OrderStatus::ALL {
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
}

/// As above, for the items.
#[test]
fn items_move_with_exactly_these_actions() {
    use FulfillmentStatus::*;
    use OrderAction::*;
    let moves = [
        (Pending, Process, Processing),
        (Pending, Ship, Shipped),
        (Processing, Ship, Shipped),
        (Pending, Deliver, Delivered),
        (Processing, Deliver, Delivered),
        (Shipped, Deliver, Delivered),
        (Pending, Cancel, Cancelled),
        (Pending, Refund, Refunded),
        (Processing, Refund, Refunded),
        (Shipped, Refund, Refunded),
        (Delivered, Refund, Refunded),
    ];
    for state in FulfillmentStatus::ALL {
        for action in OrderAction::ALL {
            let expected = moves
                .iter()
                .find(|(from, by, _)| (*from, *by) == (state, action))
                .map(|(_, _, to)| *to);
            assert_eq!(state.after(action), expected, "{state:?} by {action:?}");
        }
    }
}

fn order(status: &str, items: &[&str]) -> Order {
    let (id, now) = (crate::Id::new(), crate::Timestamp::now());
    let snapshot = serde_json::json!({ "product_id": id, "supplier_id": id, "image_url": "",
        "product_name": "", "supplier_name": "" });
    let items: Vec<_> = items
        .iter()
        .enumerate()
        .map(|(index, status)| {
            serde_json::json!({ "item_id": format!("item_{}", index + 1), "quantity": 1,
                "product_snapshot": snapshot, "unit_price_cents": 1, "final_price_cents": 1,
                "total_cents": 1, "fulfillment_status": status })
        })
        .collect();
    serde_json::from_value(serde_json::json!({ "id": id, "order_number": "", "status": status,
        "customer": { "user_id": id, "display_name": "", "email": "" }, "items": items,
        "shipping_address": { "recipient_name": "", "street_address_1": "", "city": "",
        "state": "", "zip_code": "", "country": "GB" }, "created_at": now, "updated_at": now }))
    .unwrap()
}

fn names(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

#[test]
fn the_order_is_shipped_with_its_last_item() {
    let mut order = order("processing", &["processing", "processing", "processing"]);
    let moved = order.take(OrderAction::Ship, Some(&names(&["item_2"]))).unwrap();
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].item_id, "item_2");
    assert_eq!(order.status, OrderStatus::Processing);
    let again = order.take(OrderAction::Ship, Some(&names(&["item_1", "item_2"])));
    assert_eq!(again.unwrap_err(), OrderRefusal::Item("item_2".to_owned()));
    assert_eq!(order.items[0].fulfillment_status, FulfillmentStatus::Processing);
    assert_eq!(order.take(OrderAction::Ship, None).unwrap().len(), 2, "what is left");
    assert_eq!(order.status, OrderStatus::Shipped);
}

#[test]
fn whole_orders_move_all_their_items() {
    for (from, action, to, item) in [
        ("pending", OrderAction::Confirm, OrderStatus::Confirmed, FulfillmentStatus::Pending),
        ("confirmed", OrderAction::Process, OrderStatus::Processing, FulfillmentStatus::Processing),
        ("confirmed", OrderAction::Cancel, OrderStatus::Cancelled, FulfillmentStatus::Cancelled),
        ("delivered", OrderAction::Refund, OrderStatus::Refunded, FulfillmentStatus::Refunded),
    ] {
        let mut order = order(from, &["pending", "pending"]);
        order.take(action, None).unwrap();
        assert_eq!(order.status, to);
        assert!(order.items.iter().all(|each| each.fulfillment_status == item), "{action:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = order("pending", &["pending"]).take(OrderAction::Ship, None).unwrap_err();
    assert_eq!(refused, OrderRefusal::Order(OrderStatus::Pending));
    let mut order = order("processing", &["processing"]);
    let refused = order.take(OrderAction::Ship, Some(&names(&["item_9"]))).unwrap_err();
    assert_eq!(refused, OrderRefusal::UnknownItem("item_9".to_owned()));
}
