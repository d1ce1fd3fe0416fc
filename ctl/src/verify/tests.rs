use bson::RawDocumentBuf;
use serde_json::{Value, json};
use shared::document::{Order, Product, User};
use shared::event::Domain;

use super::compare::{Kind, compare};
use super::projected::{Projected, Source};
use super::shape::Shape;

const ID: &str = "65a1b2c3d4e5f60718293a4b";
const AT: &str = "2026-01-02T03:04:05.678Z";

fn shape(domain: Domain) -> &'static Shape {
    Shape::ALL.into_iter().find(|shape| shape.domain == domain).unwrap()
}

fn user() -> Value {
    json!({
        "id": ID, "version": 3, "created_at": AT, "updated_at": AT,
        "contact_info": {"primary_email": "a@example.com"},
        "profile": {"display_name": "Ann", "bio": "x"},
    })
}

fn product(status: &str) -> Value {
    json!({
        "id": ID, "version": 2, "created_at": AT, "updated_at": AT,
        "supplier_id": ID, "supplier_info": {"name": "S"}, "name": "N",
        "category": "other", "unit_type": "piece", "metadata": {"base_sku": "B"},
        "base_price_cents": 100, "status": status,
        "variants": {"Red": {
            "variant_id": "v1", "variant_name": "Red", "price_cents": 120,
            "attributes": [{"attribute_name": "Colour", "attribute_value": "Red"}],
            "package_dimensions": {"width_cm": 1.0, "height_cm": 2.5, "depth_cm": 3.0},
        }},
    })
}

/// Through the shared type into BSON, as the API would store it.
fn stored(domain: Domain, document: Value) -> Source {
    let raw: RawDocumentBuf = match domain {
        Domain::User => raw::<User>(document),
        Domain::Product => raw::<Product>(document),
        Domain::Order => raw::<Order>(document),
        Domain::Supplier | Domain::Post => unreachable!("not used here"),
    };
    Source::read(shape(domain), ID.to_owned(), &raw)
}

fn raw<D: shared::document::Document>(document: Value) -> RawDocumentBuf {
    let document: D = serde_json::from_value(document).unwrap();
    bson::serialize_to_raw_document_buf(&document).unwrap()
}

fn present(source: &Source) -> Projected {
    match source {
        Source::Present(projected) => projected.clone(),
        other => panic!("{other:?}"),
    }
}

fn set(row: &mut Projected, domain: Domain, column: &str, value: Value) {
    let position = shape(domain).table.position(column).unwrap();
    row.row[position] = value;
}

#[test]
fn a_document_equals_the_rows_made_of_it() {
    for (domain, document) in [(Domain::User, user()), (Domain::Product, product("active"))] {
        let source = stored(domain, document);
        let row = present(&source);
        assert_eq!(compare(shape(domain), Some(&source), Some(&row)), []);
    }
}

#[test]
fn defaults_moments_and_numbers_are_in_the_rows_form() {
    let user = present(&stored(Domain::User, user()));
    let column = |name| &user.row[shape(Domain::User).table.position(name).unwrap()];
    assert_eq!(column("created_at"), AT);
    assert_eq!(column("avatar"), shared::document::DEFAULT_AVATAR);
    assert_eq!(column("phone"), &Value::Null);
}

#[test]
fn an_older_row_is_stale_and_any_other_unequal_one_different() {
    let source = stored(Domain::User, user());
    let mut row = present(&source);
    set(&mut row, Domain::User, "bio", json!("y"));
    let kind = |row: &Projected| compare(shape(Domain::User), Some(&source), Some(row))[0].kind;
    assert_eq!(kind(&row), Kind::Different);
    row.version = 2;
    assert_eq!(kind(&row), Kind::Stale);
    row.version = 4;
    assert_eq!(kind(&row), Kind::Different, "a row ahead of its document");

    let found = compare(shape(Domain::User), Some(&source), Some(&row));
    let fields: Vec<_> =
        found[0].fields.iter().map(|it| (it.field, &it.document, &it.row)).collect();
    assert_eq!(fields, [("bio", &json!("x"), &json!("y")), ("version", &json!(3), &json!(4))]);
}

#[test]
fn missing_and_extra_follow_the_contracts_rules_of_deletion() {
    let shape_of = |domain| shape(domain);
    let kinds = |domain, source: Option<&Source>, row: Option<&Projected>| -> Vec<Kind> {
        compare(shape_of(domain), source, row).iter().map(|it| it.kind).collect()
    };
    let alive = stored(Domain::Product, product("active"));
    let row = present(&alive);
    let deleted = stored(Domain::Product, product("deleted"));
    assert_eq!(kinds(Domain::Product, Some(&alive), None), [Kind::Missing]);
    assert_eq!(kinds(Domain::Product, None, Some(&row)), [Kind::Extra]);
    assert_eq!(kinds(Domain::Product, Some(&deleted), Some(&row)), [Kind::Extra]);
    assert_eq!(kinds(Domain::Product, Some(&deleted), None), []);

    let mut gone = user();
    gone["deleted_at"] = json!(AT);
    let gone = stored(Domain::User, gone);
    assert_eq!(kinds(Domain::User, Some(&gone), None), [Kind::Missing], "users keep their row");
}

#[test]
fn children_are_compared_by_their_key() {
    let source = stored(Domain::Product, product("active"));
    let mut row = present(&source);
    let mut red = row.children.remove("Red").unwrap();
    row.children.insert("Blue".to_owned(), red.clone());
    let found = compare(shape(Domain::Product), Some(&source), Some(&row));
    let of = |kind| found.iter().find(|it| it.kind == kind).and_then(|it| it.child.as_deref());
    assert_eq!((of(Kind::Missing), of(Kind::Extra), found.len()), (Some("Red"), Some("Blue"), 2));

    row.children.clear();
    red[3] = json!(121);
    row.children.insert("Red".to_owned(), red);
    let found = compare(shape(Domain::Product), Some(&source), Some(&row));
    assert_eq!(found[0].fields[0].field, "price_cents");
    assert_eq!(found[0].table, "product_variants");
}

#[test]
fn a_document_of_another_shape_is_named_and_not_passed_over() {
    let raw = bson::rawdoc! {"_id": bson::oid::ObjectId::new(), "profile": 7};
    let source = Source::read(shape(Domain::User), ID.to_owned(), &raw);
    let found = compare(shape(Domain::User), Some(&source), None);
    assert_eq!(found[0].kind, Kind::Unreadable);
}

/// Every column of the read model but the bookkeeping ones is compared: a column
/// that nobody looks at could hold anything.
#[test]
fn no_column_is_listed_twice() {
    for shape in Shape::ALL {
        for table in shape.tables() {
            for (index, (column, _)) in table.columns.iter().enumerate() {
                assert_eq!(table.position(column), Some(index), "{}.{column}", table.name);
            }
        }
    }
}
