-- A parcel service: who sends, what is on its way, where it was scanned.

CREATE TYPE scan_kind AS ENUM ('accepted', 'loaded', 'unloaded', 'delivered');

CREATE TABLE depots (
    id integer PRIMARY KEY,
    city text NOT NULL
);

CREATE TABLE customers (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    country char(2) NOT NULL
);

CREATE TABLE parcels (
    id bigint PRIMARY KEY,
    code text NOT NULL,
    customer_id bigint NOT NULL REFERENCES customers,
    to_depot integer NOT NULL REFERENCES depots,
    grams integer NOT NULL CHECK (grams > 0),
    sent_at timestamptz NOT NULL,
    delivered_at timestamptz
);

CREATE TABLE scans (
    parcel_id bigint NOT NULL REFERENCES parcels,
    depot_id integer NOT NULL REFERENCES depots,
    kind scan_kind NOT NULL,
    scanned_at timestamptz NOT NULL
);
