//! Two sorted streams, side by side.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use futures::{Stream, TryStreamExt as _};

use super::VerifyError;
use super::projected::{Projected, Source};

/// Visits every id of either side once, in order, holding one of each at a time, until a
/// visit says that it is enough.
///
/// # Errors
/// The first that either stream yields.
pub async fn merge<D, R>(
    documents: D,
    rows: R,
    mut visit: impl FnMut(Option<Source>, Option<Projected>) -> ControlFlow<()>,
) -> Result<(), VerifyError>
where
    D: Stream<Item = mongodb::error::Result<Source>>,
    R: Stream<Item = mysql_async::Result<Projected>>,
{
    futures::pin_mut!(documents, rows);
    let mut document = documents.try_next().await?;
    let mut row = rows.try_next().await?;
    loop {
        let order = match (&document, &row) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(document), Some(row)) => document.id().cmp(&row.id),
        };
        let left = if order.is_le() { document.take() } else { None };
        let right = if order.is_ge() { row.take() } else { None };
        if visit(left, right).is_break() {
            return Ok(());
        }
        if order.is_le() {
            document = documents.try_next().await?;
        }
        if order.is_ge() {
            row = rows.try_next().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::stream;

    use super::*;

    fn row(id: &str) -> Projected {
        Projected {
            id: id.to_owned(),
            version: 1,
            row: Vec::new(),
            children: BTreeMap::new(),
            is_placeholder: false,
        }
    }

    #[tokio::test]
    async fn every_id_is_visited_once_and_in_order() {
        let documents = ["b", "c", "e"].map(|id| Ok(Source::Gone { id: id.to_owned() }));
        let rows = ["a", "c", "d", "e", "f"].map(|id| Ok(row(id)));
        let mut seen = Vec::new();
        merge(stream::iter(documents), stream::iter(rows), |document, row| {
            seen.push((document.map(|it| it.id().to_owned()), row.map(|it| it.id)));
            ControlFlow::Continue(())
        })
        .await
        .unwrap();
        let pair = |left: &str, right: &str| {
            let some = |id: &str| (!id.is_empty()).then(|| id.to_owned());
            (some(left), some(right))
        };
        let expected = [
            pair("", "a"),
            pair("b", ""),
            pair("c", "c"),
            pair("", "d"),
            pair("e", "e"),
            pair("", "f"),
        ];
        assert_eq!(seen, expected);
    }
}
