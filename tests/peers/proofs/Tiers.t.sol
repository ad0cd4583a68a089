// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Base} from "../src/Base.sol";
import {Code} from "../src/Code.sol";

struct Tier {
    uint256 min_amount;
    uint256 min_lock_s;
    uint256 discount_ppm;
}

interface Stakes {
    function tier_discount_ppm(uint256 amount, uint256 lock_s) external view returns (uint256);
}

// The tier function of StakeDiscount: for all amounts and locks, and tiers that cross.
contract Tiers is Base {
    Stakes stakes;
    Tier[] tiers;

    function setUp() public {
        tiers.push(Tier(100e6, 30 days, 10_000));
        tiers.push(Tier(50e6, 90 days, 25_000));
        tiers.push(Tier(1000e6, 10 days, 60_000));
        tiers.push(Tier(1000e6, 365 days, 200_000));
        stakes = Stakes(
            deployed(bytes.concat(Code.StakeDiscount, abi.encode(address(1), tiers, 1_000_000)))
        );
    }

    // More money or a longer lock never carries less.
    function check_never_less(uint256 amount, uint256 lock_s, uint256 more, uint256 longer) public view {
        vm.assume(more >= amount && longer >= lock_s);
        assert(stakes.tier_discount_ppm(more, longer) >= stakes.tier_discount_ppm(amount, lock_s));
    }

    // It is the largest discount of the tiers that are met, and zero where none is.
    function check_the_best_met(uint256 amount, uint256 lock_s) public view {
        uint256 best = 0;
        for (uint256 i = 0; i < tiers.length; i++) {
            bool met = amount >= tiers[i].min_amount && lock_s >= tiers[i].min_lock_s;
            if (met && tiers[i].discount_ppm > best) best = tiers[i].discount_ppm;
        }
        assert(stakes.tier_discount_ppm(amount, lock_s) == best);
    }

    // Never more than the price.
    function check_at_most_all(uint256 amount, uint256 lock_s) public view {
        assert(stakes.tier_discount_ppm(amount, lock_s) <= 1_000_000);
    }
}
