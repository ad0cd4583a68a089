-- The formula of rating/v2 (rules/v2/formula.py), macro by function. Every value is a signed 64-bit
-- integer within the guards; `//` rounds down, and nothing here is ever negative.

-- How much of a line's unit was used: 1 octets_total, 2 octets_in, 3 octets_out, 4 duration_s,
-- 5 sessions, 6 units. Octets whose sum might leave 64 bits are summed in 128; beyond 2^62 is null.
create or replace macro quantity(unit, octets_in, octets_out, duration_s, units) as
    case unit
        when 1 then
            case
                when (octets_in | octets_out) < 2305843009213693952 then octets_in + octets_out
                when octets_in::hugeint + octets_out <= 4611686018427387904 then octets_in + octets_out
            end
        when 2 then case when octets_in <= 4611686018427387904 then octets_in end
        when 3 then case when octets_out <= 4611686018427387904 then octets_out end
        when 4 then case when duration_s <= 4611686018427387904 then duration_s end
        when 5 then case when (octets_in | octets_out | duration_s | units) <> 0 then 1 else 0 end
        when 6 then case when units <= 4611686018427387904 then units end
    end;

-- How many next steps a quantity counts as: the first step is a multiple of them. An amount that is
-- null stays so (`greatest` would pass over it).
create or replace macro steps_of(amount, first_steps, next_step) as
    case
        when amount = 0 then 0
        when amount > 0 then greatest(first_steps, (amount - 1) // next_step + 1)
    end;

-- Round half up gross x keep / 1e9, in parts that stay within 64 bits.
create or replace macro net_of(gross_nano, keep_ppm) as
    gross_nano // 1000000000 * keep_ppm
    + (gross_nano % 1000000000 * keep_ppm + 500000000) // 1000000000;

-- The price before tax on top: nothing for nothing, at least the minimum; null beyond 9.2e12 minor.
create or replace macro price_of(steps, net_minor, minimum_minor) as
    case
        when steps = 0 then 0
        when net_minor < 9200000000000 then greatest(minimum_minor, net_minor)
    end;

-- Half up: the tax on a price, within it (base = 1e6 + tax) or on top (base = 1e6).
create or replace macro tax_of(price_minor, tax_ppm, tax_base_ppm) as
    (price_minor * tax_ppm + tax_base_ppm // 2) // tax_base_ppm;

create or replace macro host_of(untaxed_minor, host_ppm) as untaxed_minor * host_ppm // 1000000;

-- The protocol's part of what the host left: of nothing (by 1) where the host has everything.
create or replace macro protocol_of(left_minor, protocol_ppm, left_ppm) as
    left_minor * protocol_ppm // left_ppm;
