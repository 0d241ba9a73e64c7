-- Synthetic rows: no parcel of these was ever sent. setseed makes them the same at every load.
-- 60 depots, 5,000 customers, 60,000 parcels and about 210,000 scans over 180 days.

SELECT setseed(0.42);

INSERT INTO depots (id, city)
SELECT n, 'City ' || n
FROM generate_series(1, 60) AS n;

INSERT INTO customers (id, name, country)
SELECT n, 'Customer ' || n, (ARRAY['DE', 'FR', 'NL', 'PL'])[1 + floor(4 * random()^2)::int]
FROM generate_series(1, 5000) AS n;

-- A few customers send most of the parcels: the fourth power of a uniform number is skewed.
INSERT INTO parcels (id, code, customer_id, to_depot, grams, sent_at, delivered_at)
SELECT
    n,
    'PX' || lpad((n * 7919 % 100000000)::text, 8, '0'),
    1 + floor(5000 * skewed)::bigint,
    1 + floor(60 * random()^2)::int,
    50 + floor(20000 * random()^3)::int,
    sent,
    -- one parcel in fifty never arrives; those sent in the last days are still under way
    CASE WHEN random() > 0.02 AND sent < timestamptz '2025-06-27 00:00+00'
         THEN sent + interval '1 day' * (1 + 3 * random()) END
FROM (
    SELECT n,
           random()^4 AS skewed,
           timestamptz '2025-01-01 00:00+00' + interval '180 days' * (n / 60000.0) AS sent
    FROM generate_series(1, 60000) AS n
) AS drawn;

INSERT INTO scans (parcel_id, depot_id, kind, scanned_at)
SELECT parcel, depot, kind::scan_kind, at
FROM (
    SELECT id, 1 + floor(60 * random()^2)::int, 'accepted', sent_at + interval '1 hour' FROM parcels
    UNION ALL
    SELECT id, 1 + floor(60 * random()^2)::int, 'loaded', sent_at + interval '9 hours' FROM parcels
    UNION ALL
    SELECT id, to_depot, 'unloaded', sent_at + interval '20 hours' FROM parcels WHERE random() < 0.6
    UNION ALL
    SELECT id, to_depot, 'delivered', delivered_at FROM parcels WHERE delivered_at IS NOT NULL
) AS seen (parcel, depot, kind, at)
ORDER BY at, parcel;
