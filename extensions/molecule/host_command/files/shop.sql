CREATE ROLE shop_owner NOLOGIN;
CREATE DATABASE shop OWNER shop_owner;
\connect shop
CREATE SCHEMA sales AUTHORIZATION shop_owner;
CREATE TABLE sales.customer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, facts jsonb, since timestamptz);
CREATE TABLE sales.receipt (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer bigint NOT NULL REFERENCES sales.customer,
    total numeric(12, 2), scan oid);
ALTER TABLE sales.customer OWNER TO shop_owner;
ALTER TABLE sales.receipt OWNER TO shop_owner;
INSERT INTO sales.customer (name, facts, since)
    SELECT 'Customer ' || n, jsonb_build_object('n', n), TIMESTAMPTZ '2026-01-01Z' + n * INTERVAL '1 hour'
    FROM generate_series(1, 5000) AS n;
INSERT INTO sales.receipt (customer, total, scan)
    SELECT 1 + n % 5000, n * 1.25, CASE WHEN n <= 20 THEN lo_from_bytea(0, decode(md5(n::text), 'hex')) END
    FROM generate_series(1, 20000) AS n;
