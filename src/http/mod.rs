//! Bytes to requests and responses to bytes: RFC 9110 and RFC 9112, without a socket, a clock or a file.
pub mod auth;
pub mod bytes;
pub mod exchange;
pub mod files;
pub mod host;
pub mod request;
pub mod response;
