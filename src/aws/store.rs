//! Objects in the bucket that are too large, or too secret, for a state machine's data.

use aws_sdk_s3::primitives::ByteStream;

use super::{Aws, refusal};
use crate::error::{Error, RefusalKind};

/// Bytes of one object that this function reads. The results of the children of the largest run are
/// about half of it: Step Functions writes each with its input.
const LARGEST: usize = 64 * 1024 * 1024;

impl Aws {
    /// Puts an object.
    pub async fn keep(&self, bucket: &str, key: &str, body: Vec<u8>) -> Result<(), Error> {
        let sent = self
            .s3()
            .put_object()
            .bucket(bucket)
            .key(key)
            .body(ByteStream::from(body))
            .send()
            .await;
        let at = self.here();
        sent.map_err(|e| {
            Error::from_refusal(refusal(
                "PutObject",
                &at,
                format!("s3://{bucket}/{key}"),
                &e,
            ))
        })?;
        Ok(())
    }

    /// Reads an object; `None` if there is none.
    pub async fn kept(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let at = self.here();
        let name = format!("s3://{bucket}/{key}");
        let got = self.s3().get_object().bucket(bucket).key(key).send().await;
        let object = match got.map_err(|e| refusal("GetObject", &at, &name, &e)) {
            Ok(object) => object,
            Err(refusal) if is_absent(&refusal.code) => return Ok(None),
            Err(refusal) if refusal.kind() == RefusalKind::NotFound => return Ok(None),
            Err(refusal) => return Err(Error::from_refusal(refusal)),
        };
        let length = object.content_length().unwrap_or_default();
        if usize::try_from(length).unwrap_or(usize::MAX) > LARGEST {
            return Err(Error::Internal(format!("{name} has {length} bytes")));
        }
        let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        let mut body = object.body;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|e| Error::Internal(format!("{name} broke off: {e}")))?;
            content.extend_from_slice(&piece);
            if content.len() > LARGEST {
                return Err(Error::Internal(format!(
                    "{name} has more than {LARGEST} bytes"
                )));
            }
        }
        Ok(Some(content))
    }

    /// Deletes an object. An object that is not there counts as deleted.
    pub async fn discard(&self, bucket: &str, key: &str) -> Result<(), Error> {
        let sent = self
            .s3()
            .delete_object()
            .bucket(bucket)
            .key(key)
            .send()
            .await;
        let at = self.here();
        sent.map_err(|e| {
            Error::from_refusal(refusal(
                "DeleteObject",
                &at,
                format!("s3://{bucket}/{key}"),
                &e,
            ))
        })?;
        Ok(())
    }
}

fn is_absent(code: &str) -> bool {
    matches!(code, "NoSuchKey" | "NotFound")
}
