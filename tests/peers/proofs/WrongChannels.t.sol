// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Actor} from "./Channels.t.sol";

// False on purpose: the campaign must get far enough to refute each.
contract WrongChannels {
    Actor actor;

    function setUp() public {
        actor = new Actor();
    }

    function targetContracts() public view returns (address[] memory found) {
        found = new address[](1);
        found[0] = address(actor);
    }

    function invariant_nothing_is_claimed() public view {
        assert(actor.claimed(0) + actor.claimed(1) == 0);
    }

    function invariant_nothing_is_settled() public view {
        assert(actor.money().balanceOf(address(actor)) == 0);
    }

    function invariant_nothing_comes_back() public view {
        assert(actor.returned(0) + actor.returned(1) == 0);
    }
}
