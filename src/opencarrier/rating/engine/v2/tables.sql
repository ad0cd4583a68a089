-- What a run reads besides records, and what it adds up.
create table lines as select
    line, home, visited, service, class_from, class_until, valid_from_us, valid_until_us,
    unit, first_step // next_step as first_steps, next_step, price_nano,
    -- As many steps as keep the gross within 64 bits.
    9223372036854775807 // greatest(price_nano, 1) as steps_max,
    fixed_minor, minimum_minor, currency, tax_ppm,
    case when tax_included then 1000000 + tax_ppm else 1000000 end as tax_base_ppm,
    tax_included::bigint as tax_within,
    host_ppm, greatest(1000000 - host_ppm, 1) as left_ppm, protocol_ppm, in_band, account
from line_rows;

create table pairs as select distinct home, visited from line_rows;

-- Sums are DECIMAL(38, 0): 128 bits, and an exact type in Parquet too, where HUGEINT would be a float.
create table line_sums (
    line integer, records decimal(38, 0), amount decimal(38, 0),
    seller_minor decimal(38, 0), host_minor decimal(38, 0), protocol_minor decimal(38, 0), tax_minor decimal(38, 0)
);
create table node_sums (account integer, node varchar, records decimal(38, 0), host_minor decimal(38, 0));
create table waiting (
    usage_id blob, day bigint, home varchar, visited varchar, status tinyint
);
create table counts (rated bigint, suspended bigint, settlement_free bigint, disputed bigint);
