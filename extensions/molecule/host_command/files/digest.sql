-- One line that changes with any row, large object, sequence or owner of the database.
SELECT md5(string_agg(line, E'\n' ORDER BY line)) FROM (
    SELECT 'customer ' || c::text AS line FROM sales.customer AS c
    UNION ALL SELECT 'receipt ' || r.id || ' ' || r.customer || ' ' || r.total || ' '
        || coalesce(md5(lo_get(r.scan)), '-') FROM sales.receipt AS r
    UNION ALL SELECT 'sequence ' || sequencename || ' ' || coalesce(last_value, 0) FROM pg_sequences
    UNION ALL SELECT 'owner ' || tablename || ' ' || tableowner FROM pg_tables WHERE schemaname = 'sales'
) AS lines;
