//! Who acts in the load, and on what: made before the clock starts.

use rand::rngs::StdRng;
use reqwest::Method;
use serde_json::Value;

use crate::rest::{Request, RestClient, RestError};
use crate::seed::bodies;

const USERS: usize = 12;
const SUPPLIERS: usize = 4;
const PRODUCTS_EACH: usize = 3;

#[derive(Debug)]
pub struct Cast {
    pub users: Vec<User>,
    pub suppliers: Vec<String>,
    pub products: Vec<Product>,
}

#[derive(Debug)]
pub struct User {
    pub id: String,
    pub name: String,
}

#[derive(Debug)]
pub struct Product {
    pub id: String,
    pub supplier: String,
    pub variants: Vec<String>,
}

impl Cast {
    /// # Errors
    /// The first request that fails for good.
    pub async fn gather(
        client: &RestClient,
        rng: &mut StdRng,
        run: &str,
    ) -> Result<Self, RestError> {
        let mut cast = Self { users: Vec::new(), suppliers: Vec::new(), products: Vec::new() };
        for number in 0..USERS {
            let (name, body) = bodies::user(rng, number, run);
            let id = create(client, "/users", None, body).await?;
            cast.users.push(User { id, name });
        }
        for number in 0..SUPPLIERS {
            let id = create(client, "/suppliers", None, bodies::supplier(rng, number, run)).await?;
            for product in 0..PRODUCTS_EACH {
                let number = number * PRODUCTS_EACH + product;
                cast.products.push(launch(client, rng, number, &id).await?);
            }
            cast.suppliers.push(id);
        }
        Ok(cast)
    }
}

async fn launch(
    client: &RestClient,
    rng: &mut StdRng,
    number: usize,
    supplier: &str,
) -> Result<Product, RestError> {
    let (body, variants) = bodies::product(rng, number);
    let actor = ("X-Supplier-ID", supplier.to_owned());
    let id = create(client, "/products", Some(actor.clone()), body).await?;
    let publish = post(format!("/products/{id}/publish"), Some(actor), None);
    client.send(&publish).await?;
    Ok(Product { id, supplier: supplier.to_owned(), variants })
}

async fn create(
    client: &RestClient,
    path: &str,
    actor: Option<(&'static str, String)>,
    body: Value,
) -> Result<String, RestError> {
    let request = post(path.to_owned(), actor, Some(body));
    let answer = client.send(&request).await?;
    let id = answer["id"].as_str().map(str::to_owned);
    id.ok_or_else(|| request.unintelligible("no id in it"))
}

fn post(path: String, actor: Option<(&'static str, String)>, body: Option<Value>) -> Request {
    Request {
        method: Method::POST,
        path,
        headers: actor.into_iter().collect(),
        body,
        settled_by: None,
    }
}
