// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Base, Money} from "../src/Base.sol";
import {Code} from "../src/Code.sol";

interface Rewards {
    function publish(address token, bytes32 cycle, bytes32 root, uint256 amount) external;
    function claim(address account, address token, uint256 lifetime, bytes32[] calldata proof)
        external
        returns (uint256);
    function funded(address token) external view returns (uint256);
    function total_claimed(address token) external view returns (uint256);
    function claimed(address account, address token) external view returns (uint256);
}

// The packed sums of RewardDistributor: for all amounts, two roots and two claims of one account.
contract Accumulator is Base {
    Rewards rewards;
    Money money;
    address constant HOST = address(0xB0B);

    function setUp() public {
        money = new Money();
        // This contract is the clearing house and the guardian; a root is ready at once.
        rewards = Rewards(
            deployed(
                bytes.concat(
                    Code.RewardDistributor,
                    abi.encode(address(this), address(this), address(this), uint256(0))
                )
            )
        );
    }

    function leaf(uint256 lifetime) internal view returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(HOST, address(money), lifetime))));
    }

    function publish(uint256 lifetime, uint256 amount) internal {
        money.mint(address(rewards), amount);
        rewards.publish(address(money), bytes32(0), leaf(lifetime), amount);
    }

    function claim(uint256 lifetime) internal returns (bool) {
        try rewards.claim(HOST, address(money), lifetime, new bytes32[](0)) {
            return true;
        } catch {
            return false;
        }
    }

    // Whatever two roots say and in whatever order they are claimed, a host holds what the books
    // say it was paid, and no more is paid than arrived.
    function check_paid_is_booked_and_funded(uint256 one, uint256 two, uint256 first, uint256 second)
        public
    {
        vm.assume(one != two && first <= type(uint96).max && second <= type(uint96).max);
        publish(one, first);
        publish(two, second);
        claim(one);
        claim(two);
        uint256 paid = money.balanceOf(HOST);
        assert(rewards.claimed(HOST, address(money)) == paid);
        assert(rewards.total_claimed(address(money)) == paid);
        assert(rewards.funded(address(money)) == first + second);
        assert(paid <= first + second);
        assert(money.balanceOf(address(rewards)) == first + second - paid);
    }

    // A claim that passes brings the account to exactly what the leaf says; the same again fails.
    function check_a_claim_pays_the_difference_once(uint256 one, uint256 more, uint256 amount) public {
        vm.assume(amount <= type(uint96).max && more != one);
        publish(one, amount);
        publish(more, 0);
        if (claim(one)) assert(rewards.claimed(HOST, address(money)) == one);
        if (claim(more)) assert(rewards.claimed(HOST, address(money)) == more);
        uint256 paid = money.balanceOf(HOST);
        assert(!claim(one));
        assert(!claim(more));
        assert(money.balanceOf(HOST) == paid);
    }
}
