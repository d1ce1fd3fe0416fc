//! Every path of the contract with the methods it takes.

pub const PATHS: [(&str, &str); 29] = [
    ("/", "GET"),
    ("/health", "GET"),
    ("/users", "GET POST"),
    ("/users/{id}", "GET PATCH DELETE"),
    ("/suppliers", "GET POST"),
    ("/suppliers/{id}", "GET PATCH DELETE"),
    ("/products", "GET POST"),
    ("/products/{id}", "GET PATCH DELETE"),
    ("/products/{id}/publish", "POST"),
    ("/products/{id}/discontinue", "POST"),
    ("/products/{id}/mark-out-of-stock", "POST"),
    ("/products/{id}/restore", "POST"),
    ("/orders", "GET POST"),
    ("/orders/{id}", "GET"),
    ("/orders/{id}/cancel", "POST"),
    ("/orders/{id}/confirm", "POST"),
    ("/orders/{id}/process", "POST"),
    ("/orders/{id}/ship", "POST"),
    ("/orders/{id}/deliver", "POST"),
    ("/orders/{id}/refund", "POST"),
    ("/posts", "GET POST"),
    ("/posts/{id}", "GET PATCH DELETE"),
    ("/posts/{id}/publish", "POST"),
    ("/events/{event_id}", "GET"),
    ("/live", "GET"),
    ("/ready", "GET"),
    ("/metrics", "GET"),
    ("/status", "GET"),
    ("/status.json", "GET"),
];

/// Each method on each path.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    PATHS.into_iter().flat_map(|(path, methods)| methods.split(' ').map(move |each| (each, path)))
}
