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

// Claims that are false: a prover that proves them proves nothing.
contract Wrong is Base {
    Stakes stakes;

    function setUp() public {
        Tier[] memory tiers = new Tier[](1);
        tiers[0] = Tier(123_456_789, 7 days, 10_000);
        stakes = Stakes(
            deployed(bytes.concat(Code.StakeDiscount, abi.encode(address(1), tiers, 1_000_000)))
        );
    }

    function check_no_stake_has_a_discount(uint256 amount, uint256 lock_s) public view {
        assert(stakes.tier_discount_ppm(amount, lock_s) == 0);
    }

    function check_more_is_always_better(uint256 amount, uint256 more) public view {
        vm.assume(more > amount);
        assert(
            stakes.tier_discount_ppm(more, 8 days) > stakes.tier_discount_ppm(amount, 8 days)
        );
    }
}
