//! Every limit that nodes agree on, in one table.
//!
//! Decoders check these before they allocate. `lanai help limits` prints [`TABLE`].

/// Bytes of an encoded header, without its signature.
pub const MAX_HEADER_BYTES: usize = 1024;
/// Bytes of a payload as sealed, nonce and tag included.
pub const MAX_PAYLOAD_BYTES: usize = 48 * 1024;
/// Bytes of a payload body once decompressed.
pub const MAX_INFLATED_BYTES: usize = 256 * 1024;
/// Roster heads that a header may name.
pub const MAX_HEADS: usize = 4;
/// References that a header may name.
pub const MAX_REFS: usize = 10;
/// Bytes of a title.
pub const MAX_TITLE_BYTES: usize = 300;
/// Tags on one thread.
pub const MAX_TAGS: usize = 8;
/// Bytes of one tag.
pub const MAX_TAG_BYTES: usize = 32;
/// Bytes of a person's or community's name.
pub const MAX_NAME_BYTES: usize = 64;
/// Bytes of one profile field other than the name.
pub const MAX_PROFILE_FIELD_BYTES: usize = 2000;
/// Bytes of an imported message id.
pub const MAX_MESSAGE_ID_BYTES: usize = 256;
/// Bytes of the reason for a lead's act.
pub const MAX_REASON_BYTES: usize = 500;
/// Bytes that one weave may insert.
pub const MAX_WEAVE_INSERT_BYTES: usize = 32 * 1024;
/// Splices in one weave.
pub const MAX_SPLICES: usize = 1000;
/// Weaves that one weave may be built on.
pub const MAX_WEAVE_DEPS: usize = 7;
/// Bytes of a page.
pub const MAX_PAGE_BYTES: usize = 64_000;
/// Own weaves that a device may have below a weave, in one generation of a page.
pub const MAX_DEVICE_WEAVES: usize = 1000;
/// Bytes that a device may insert in its weaves below a weave, in one generation of a page.
pub const MAX_DEVICE_WEAVE_BYTES: usize = 1024 * 1024;
/// Branches of a page that one member may keep open at once.
pub const MAX_PAGE_BRANCHES: usize = 16;
/// Weaves and proposals of one member that a page considers, the earliest first.
pub const MAX_MEMBER_WEAVES: usize = 4096;
/// Stretches of text that a generation attributes.
pub const MAX_GENERATION_RUNS: usize = 2000;
/// Founders named in a genesis entry.
pub const MAX_FOUNDERS: usize = 16;
/// Seals for devices in one seal entry.
pub const MAX_SEALS: usize = 500;
/// Members of a side talk that one entry names.
pub const MAX_SIDE_MEMBERS: usize = 32;
/// Seals in one entry of a side talk; each is tried by every device of the community.
pub const MAX_SIDE_SEALS: usize = 128;
/// Parents of an epoch.
pub const MAX_EPOCH_PARENTS: usize = 8;
/// Uses that a ticket may allow.
pub const MAX_TICKET_USES: u32 = 1000;
/// Heads of logs that a removal names.
pub const MAX_CUT_HEADS: usize = 256;
/// Heads of logs that a checkpoint names.
pub const MAX_SEEN_HEADS: usize = 1000;
/// Endorsements that an enactment names.
pub const MAX_ENDORSEMENTS: usize = 500;
/// Devices that a member may have at once.
pub const MAX_MEMBER_DEVICES: usize = 32;
/// Posts that one own-state entry marks as read.
pub const MAX_OWN_READS: usize = 3500;
/// Drafts in one own-state entry.
pub const MAX_OWN_DRAFTS: usize = 64;
/// Bytes of a draft that is shared among one's own devices.
pub const MAX_DRAFT_BYTES: usize = 32 * 1024;
/// Bytes of all that one own-state entry holds, before it is sealed.
pub const MAX_OWN_STATE_BYTES: usize = 36 * 1024;
/// Branches of one device that take part in the log frontier.
pub const MAX_BRANCHES: usize = 8;
/// Bytes of a frame of the sync protocol, header included, and of a gossip message.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
/// Entries that wait for a missing device or parent.
pub const MAX_WAITING_ENTRIES: usize = 10_000;
/// Bytes of entries that wait for a missing device or parent.
pub const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of roster entries that somebody whose admission is unknown may push.
pub const MAX_ENROLMENT_BYTES: usize = 256 * 1024;

/// Bytes of a file; what a node adds and fetches is bounded lower by its settings.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024 * 1024;
/// Bytes of a file's name.
pub const MAX_FILE_NAME_BYTES: usize = 255;
/// Bytes of a file's media type.
pub const MAX_MEDIA_TYPE_BYTES: usize = 127;

/// The table for people: name, value, unit.
pub const TABLE: &[(&str, usize, &str)] = &[
    ("header", MAX_HEADER_BYTES, "bytes"),
    ("sealed payload (text of one post, after compression)", MAX_PAYLOAD_BYTES, "bytes"),
    ("payload after decompression", MAX_INFLATED_BYTES, "bytes"),
    ("roster heads in a header", MAX_HEADS, ""),
    ("references in a header", MAX_REFS, ""),
    ("title", MAX_TITLE_BYTES, "bytes"),
    ("tags on a thread", MAX_TAGS, ""),
    ("tag", MAX_TAG_BYTES, "bytes"),
    ("name of a person or community", MAX_NAME_BYTES, "bytes"),
    ("profile field", MAX_PROFILE_FIELD_BYTES, "bytes"),
    ("imported message id", MAX_MESSAGE_ID_BYTES, "bytes"),
    ("reason of a lead's act", MAX_REASON_BYTES, "bytes"),
    ("text inserted by one weave", MAX_WEAVE_INSERT_BYTES, "bytes"),
    ("splices in one weave", MAX_SPLICES, ""),
    ("weaves that a weave is built on", MAX_WEAVE_DEPS, ""),
    ("page", MAX_PAGE_BYTES, "bytes"),
    ("weaves of one device in a page's generation", MAX_DEVICE_WEAVES, ""),
    ("text inserted by one device in a page's generation", MAX_DEVICE_WEAVE_BYTES, "bytes"),
    ("branches of a page that one member keeps open", MAX_PAGE_BRANCHES, ""),
    ("weaves and proposals of one member on a page", MAX_MEMBER_WEAVES, ""),
    ("attributed stretches in a generation", MAX_GENERATION_RUNS, ""),
    ("founders", MAX_FOUNDERS, ""),
    ("seals in one entry", MAX_SEALS, ""),
    ("members let into a side talk by one entry", MAX_SIDE_MEMBERS, ""),
    ("seals in one entry of a side talk", MAX_SIDE_SEALS, ""),
    ("uses of a ticket", MAX_TICKET_USES as usize, ""),
    ("log heads in the cut of a removal", MAX_CUT_HEADS, ""),
    ("log heads in a checkpoint", MAX_SEEN_HEADS, ""),
    ("endorsements in an enactment", MAX_ENDORSEMENTS, ""),
    ("devices of a member", MAX_MEMBER_DEVICES, ""),
    ("posts that one own-state entry marks as read", MAX_OWN_READS, ""),
    ("drafts in one own-state entry", MAX_OWN_DRAFTS, ""),
    ("draft shared among one's own devices", MAX_DRAFT_BYTES, "bytes"),
    ("content of one own-state entry", MAX_OWN_STATE_BYTES, "bytes"),
    ("file (the setting `file_max` bounds it lower)", MAX_FILE_BYTES as usize, "bytes"),
    ("name of a file", MAX_FILE_NAME_BYTES, "bytes"),
    ("media type of a file", MAX_MEDIA_TYPE_BYTES, "bytes"),
    ("frame and gossip message", MAX_FRAME_BYTES, "bytes"),
    ("entries waiting for what they refer to", MAX_WAITING_ENTRIES, ""),
    ("bytes of waiting entries", MAX_WAITING_BYTES, "bytes"),
    ("roster entries pushed by an unknown newcomer", MAX_ENROLMENT_BYTES, "bytes"),
];
