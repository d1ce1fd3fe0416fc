//! Cursors: a list is walked to its end, whatever happens to it meanwhile.

use mongodb::bson::Document;
use serde_json::{Value, json};

use crate::call::{Answer, id};
use crate::harness::Api;
use crate::lists::{Full, copy, full};

/// The path that the Link header of an answer says to go on with.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    let target = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
    Some(target.unwrap_or_else(|| panic!("{}: Link: {link}", answer.what)).to_owned())
}

fn ids(answer: &Answer) -> Vec<String> {
    let page = answer.is(200).json();
    page.as_array().unwrap().iter().map(|each| id(each).to_owned()).collect()
}

/// Every page of a list, from `path` on.
async fn walk(api: &Api, user: &Value, path: &str) -> Vec<Vec<String>> {
    let (mut pages, mut path) = (vec![], Some(path.to_owned()));
    while let Some(here) = path {
        let answer = api.get(here).user(user).await;
        pages.push(ids(&answer));
        path = next(&answer);
        assert!(pages.len() < 50, "a walk without an end");
    }
    pages
}

#[tokio::test]
async fn a_walk_meets_everything_once_in_order() {
    let Full { api, user, lists } = full(12).await;
    for (path, all) in lists {
        for (query, sizes) in [
            ("limit=5", vec![5, 5, 2]),
            ("limit=4", vec![4, 4, 4]),
            ("limit=12", vec![12]),
            ("limit=1", vec![1; 12]),
            ("limit=100", vec![12]),
        ] {
            let pages = walk(&api, &user, &format!("{path}?{query}")).await;
            let found: Vec<_> = pages.iter().map(Vec::len).collect();
            assert_eq!(found, sizes, "{path}?{query}");
            assert_eq!(pages.concat(), all, "{path}?{query}");
        }
        let skipped = walk(&api, &user, &format!("{path}?skip=3&limit=4")).await;
        assert_eq!(skipped.concat(), all[3..], "{path}: a walk can begin anywhere");
    }
}

/// With skip, what is put in front pushes the rest along, and is met twice.
#[tokio::test]
async fn a_walk_stays_on_its_way_while_others_write() {
    let Full { api, user, lists } = full(6).await;
    for (path, all) in lists {
        let (mut met, mut here) = (vec![], Some(format!("{path}?limit=2")));
        while let Some(page) = here {
            let answer = api.get(page).user(&user).await;
            met.append(&mut ids(&answer));
            here = next(&answer);
            if met.len() <= 4 && path != "/users" && path != "/suppliers" {
                // At the front of a list that shows the newest first.
                copy(&api, &path[1..], &all[0], 300).await;
            }
        }
        assert_eq!(met, all, "{path}");
    }
}

#[tokio::test]
async fn a_walk_keeps_its_filters() {
    let Full { api, user, lists } = full(6).await;
    let products = &lists[2].1;
    for gone in [&products[1], &products[4]] {
        api.database.set("products", gone, "status", "draft").await;
    }
    let wanted: Vec<_> = [0, 2, 3, 5].map(|index| products[index].clone()).to_vec();
    let path = "/products?status=active,out_of_stock&category=home_garden&limit=3";
    let first = api.get(path).await;
    let link = next(&first).expect("there is more");
    assert!(link.starts_with("/products?") && link.contains("limit=3"), "{link}");
    assert!(link.contains("category=home_garden") && link.contains("cursor="), "{link}");
    assert_eq!(walk(&api, &user, path).await.concat(), wanted);
    let posts = format!("/posts?author_id={}&limit=4", id(&user));
    assert_eq!(walk(&api, &user, &posts).await.concat(), lists[4].1);
    let none = format!("/posts?author_id={}&limit=4", "0".repeat(24));
    assert_eq!(walk(&api, &user, &none).await, [Vec::<String>::new()]);
}

#[tokio::test]
async fn cursors_that_make_no_sense_are_refused() {
    let api = Api::start().await;
    let user = api.user().await;
    let (by_id, by_moment) = ("0".repeat(24), format!("{}.1700000000000", "0".repeat(24)));
    for (path, foreign) in [
        ("/users", &by_moment),
        ("/suppliers", &by_moment),
        ("/products", &by_id),
        ("/orders", &by_id),
        ("/posts", &by_id),
    ] {
        for broken in ["", "x", "0.0", foreign.as_str(), "%00", &format!("{by_id}.x")] {
            api.get(format!("{path}?cursor={broken}")).user(&user).await.names("cursor");
        }
        let sound = if foreign == &by_id { &by_moment } else { &by_id };
        api.get(format!("{path}?cursor={sound}")).user(&user).await.is(200);
        api.get(format!("{path}?cursor={sound}&skip=0")).user(&user).await.is(200);
        api.get(format!("{path}?cursor={sound}&skip=1")).user(&user).await.names("skip");
    }
}

/// Every list is read off an index: no collection is searched, nothing is sorted.
#[tokio::test]
async fn every_list_is_served_by_an_index() {
    let Full { api, user, lists } = full(40).await;
    let supplier = api.get("/suppliers?limit=1").await.is(200).json()[0]["id"].clone();
    let supplier = supplier.as_str().unwrap();
    let mut queries = vec![
        "/products?status=active".to_owned(),
        "/products?status=draft,active".to_owned(),
        "/products?category=home_garden".to_owned(),
        format!("/products?supplier_id={supplier}"),
        format!("/products?supplier_id={supplier}&status=active&category=home_garden"),
        "/orders?status=pending,confirmed".to_owned(),
        format!("/posts?author_id={}", id(&user)),
    ];
    queries.extend(lists.iter().map(|(path, _)| (*path).to_owned()));
    for query in queries {
        let mark = if query.contains('?') { '&' } else { '?' };
        let first = api.get(format!("{query}{mark}limit=7")).user(&user).await;
        let second = next(first.is(200)).unwrap_or_else(|| panic!("{query} has one page"));
        for path in [format!("{query}{mark}limit=7"), second] {
            let collection = path[1..].split('?').next().unwrap().to_owned();
            for plan in profiled(&api, &collection, &path, &user).await {
                let summary = plan.get_str("planSummary").unwrap();
                assert!(summary.starts_with("IXSCAN"), "{path}: {plan}");
                assert!(!plan.get_bool("hasSortStage").unwrap_or(false), "{path}: {plan}");
            }
        }
    }
}

/// What the server's profiler tells of the queries that a request makes.
async fn profiled(api: &Api, collection: &str, path: &str, user: &Value) -> Vec<Document> {
    api.database.profile(2).await;
    api.get(path).user(user).await.is(200);
    api.database.profile(0).await;
    let all = api.database.all("system.profile").await;
    let namespace = format!("{}.{collection}", api.database.name);
    let is = |entry: &Document, field: &str, value: &str| {
        entry.get_str(field).is_ok_and(|found| found == value)
    };
    let queries: Vec<_> = all
        .into_iter()
        .filter(|entry| is(entry, "ns", &namespace) && is(entry, "op", "query"))
        .collect();
    api.database.collection("system.profile").drop().await.unwrap();
    assert!(!queries.is_empty(), "{path} made no query");
    queries
}

/// A first page says nothing of a next one where there is none.
#[tokio::test]
async fn the_last_page_has_no_link() {
    let api = Api::start().await;
    let user = api.user().await;
    assert_eq!(next(&api.get("/users?limit=1").await), None);
    assert_eq!(next(&api.get("/posts").await), None);
    let other = api.user().await;
    let first = api.get("/users?limit=1").await;
    assert_eq!(ids(&first), [id(&user)]);
    let second = api.get(next(&first).unwrap()).await;
    assert_eq!(second.json(), json!([other]));
    assert_eq!(next(&second), None);
}
