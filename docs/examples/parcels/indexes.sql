-- What the after arm has and the before arm has not.

CREATE UNIQUE INDEX parcels_code ON parcels (code);

-- Equality first, then the order in which the page shows them.
CREATE INDEX parcels_customer_sent ON parcels (customer_id, sent_at DESC);

-- Only what is under way: two in a hundred rows.
CREATE INDEX parcels_under_way ON parcels (to_depot, sent_at) WHERE delivered_at IS NULL;

CREATE INDEX scans_parcel ON scans (parcel_id, scanned_at);

-- kind comes along, so that counting never visits the table.
CREATE INDEX scans_depot_time ON scans (depot_id, scanned_at) INCLUDE (kind);
