use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};

use super::operation::{Documented, Operation};
use super::schemas::Schemas;
use crate::auth::{AccountKind, AuthMode};
use crate::http::ApiError;
use crate::routes::App;

/// The routes of the API together with their description: no route without its entry in
/// the document, and no entry without its route.
pub struct Routes {
    mode: AuthMode,
    router: Router<App>,
    operations: Vec<Operation>,
    schemas: Schemas,
}

impl Routes {
    pub fn new(mode: AuthMode) -> Self {
        Self { mode, router: Router::new(), operations: Vec::new(), schemas: Schemas::new() }
    }

    pub fn get<H, T>(self, path: &'static str, handler: H, summary: &'static str) -> Self
    where
        H: Handler<T, App> + Documented<T>,
        T: 'static,
    {
        self.on(MethodFilter::GET, "get", path, handler, summary)
    }

    pub fn post<H, T>(self, path: &'static str, handler: H, summary: &'static str) -> Self
    where
        H: Handler<T, App> + Documented<T>,
        T: 'static,
    {
        self.on(MethodFilter::POST, "post", path, handler, summary)
    }

    pub fn patch<H, T>(self, path: &'static str, handler: H, summary: &'static str) -> Self
    where
        H: Handler<T, App> + Documented<T>,
        T: 'static,
    {
        self.on(MethodFilter::PATCH, "patch", path, handler, summary)
    }

    pub fn delete<H, T>(self, path: &'static str, handler: H, summary: &'static str) -> Self
    where
        H: Handler<T, App> + Documented<T>,
        T: 'static,
    {
        self.on(MethodFilter::DELETE, "delete", path, handler, summary)
    }

    /// What the handler of the last route can refuse, beyond what its arguments do.
    pub fn refuses(mut self, errors: impl IntoIterator<Item = ApiError>) -> Self {
        if let Some(operation) = self.operations.last_mut() {
            errors.into_iter().for_each(|error| operation.refuses(&error));
        }
        self
    }

    /// Where tokens are believed, only the account itself may call the last route.
    pub fn by_itself(mut self, kind: AccountKind) -> Self {
        if let Some(operation) = self.operations.last_mut().filter(|_| self.mode == AuthMode::Token)
        {
            operation.callers.clear();
            operation.called_by(&[kind]);
        }
        self
    }

    /// The router, and the OpenAPI document that describes it.
    pub fn finish(self) -> (Router<App>, serde_json::Value) {
        (self.router, super::document(self.mode, self.operations, self.schemas))
    }

    fn on<H, T>(
        mut self,
        filter: MethodFilter,
        method: &'static str,
        path: &'static str,
        handler: H,
        summary: &'static str,
    ) -> Self
    where
        H: Handler<T, App> + Documented<T>,
        T: 'static,
    {
        let mut operation = Operation::new(self.mode, method, path, summary);
        H::describe(&mut operation, &mut self.schemas);
        self.operations.push(operation);
        self.router = self.router.route(path, on(filter, handler));
        self
    }
}
