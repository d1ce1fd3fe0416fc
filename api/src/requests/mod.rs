//! What clients send, and its rules: every limit of the contract is written on
//! the field that it limits. Unknown fields are ignored: existing clients send some.

mod login;
mod order;
mod order_step;
mod page;
mod post;
mod product;
mod rules;
mod supplier;
mod timeline;
mod user;

pub use login::Login;
pub use order::CreateOrder;
pub use order_step::{CancelOrder, DeliverOrder, ShipOrder};
pub use page::{Cursor, ListAll, ListOrders, ListPosts, ListProducts, Page};
pub use post::{CreatePost, UpdatePost};
pub use product::{CreateProduct, UpdateProduct};
pub use supplier::{CreateSupplier, UpdateSupplier};
pub use timeline::{Goal, WaitForEvent};
pub use user::{CreateUser, UpdateUser};
