//! A stream cut into frames: four bytes of length, and so many more. Frames keep their length in front, so
//! that one which is passed on is written as it came.

use bytes::{Buf, Bytes, BytesMut};
use std::io;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

/// Above Kafka's `socket.request.max.bytes`.
const FRAME_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What is read ahead of a request that is held.
const AHEAD_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) const LENGTH_BYTES: usize = 4;

pub(super) struct Frames {
    /// None once the stream has ended or was dropped.
    stream: Option<OwnedReadHalf>,
    read: BytesMut,
}

impl Frames {
    pub(super) fn new(stream: OwnedReadHalf) -> Self {
        Self { stream: Some(stream), read: BytesMut::with_capacity(64 * 1024) }
    }

    /// The next frame; None at the stream's end. What was read of a frame is not lost where this is dropped.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            if !self.read_more().await? {
                return Ok(None);
            }
        }
    }

    /// Reads ahead until the stream ends; never returns where there is too much of it.
    pub(super) async fn until_end(&mut self) {
        while self.read.len() < AHEAD_BYTES_MAX {
            if !matches!(self.read_more().await, Ok(true)) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Closes this half of the stream.
    pub(super) fn close(&mut self) {
        self.stream = None;
    }

    fn take(&mut self) -> io::Result<Option<Bytes>> {
        let Some(mut length) = self.read.get(..LENGTH_BYTES) else { return Ok(None) };
        let length = length.get_u32() as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
        }
        if self.read.len() < LENGTH_BYTES + length {
            self.read.reserve(LENGTH_BYTES + length - self.read.len());
            return Ok(None);
        }
        Ok(Some(self.read.split_to(LENGTH_BYTES + length).freeze()))
    }

    async fn read_more(&mut self) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        let more = stream.read_buf(&mut self.read).await.is_ok_and(|count| count > 0);
        if !more {
            // A stream that is reset has ended as well.
            self.stream = None;
        }
        Ok(more)
    }
}
