// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Base} from "../src/Base.sol";
import {Code} from "../src/Code.sol";

interface Token {
    function set_minter(address account, bool allowed) external;
    function mint(address account, uint256 amount) external;
    function burn(uint256 amount) external;
    function transfer(address receiver, uint256 amount) external returns (bool);
    function freeze(address account) external;
    function unfreeze(address account) external;
    function balanceOf(address account) external view returns (uint256);
    function totalSupply() external view returns (uint256);
    function is_frozen(address account) external view returns (bool);
}

// The packed word of StableToken: for all balances and amounts the flag and the balance stand alone.
contract Balances is Base {
    Token token;
    address constant ONE = address(0xA11CE);
    address constant OTHER = address(0xB0B);

    function setUp() public {
        token = Token(
            deployed(bytes.concat(Code.StableToken, abi.encode("Dollar", "USD", "1", address(this))))
        );
        token.set_minter(address(this), true);
    }

    function hold(address account, uint256 amount, bool frozen) internal {
        token.mint(account, amount);
        if (frozen) token.freeze(account);
    }

    function send(address receiver, uint256 amount) internal returns (bool) {
        vm.prank(ONE);
        try token.transfer(receiver, amount) {
            return true;
        } catch {
            return false;
        }
    }

    // A transfer moves exactly its amount, or nothing where one of the two is frozen or it is short.
    function check_a_transfer_moves_its_amount_alone(
        uint256 one,
        uint256 other,
        uint256 amount,
        bool one_frozen,
        bool other_frozen
    ) public {
        hold(ONE, one, one_frozen);
        hold(OTHER, other, other_frozen);
        bool moved = send(OTHER, amount);
        assert(moved == (!one_frozen && !other_frozen && amount <= one));
        assert(token.balanceOf(ONE) == (moved ? one - amount : one));
        assert(token.balanceOf(OTHER) == (moved ? other + amount : other));
        assert(token.is_frozen(ONE) == one_frozen && token.is_frozen(OTHER) == other_frozen);
        assert(token.totalSupply() == one + other);
    }

    // To oneself nothing moves.
    function check_a_transfer_to_oneself(uint256 one, uint256 amount) public {
        hold(ONE, one, false);
        assert(send(ONE, amount) == (amount <= one));
        assert(token.balanceOf(ONE) == one && !token.is_frozen(ONE));
    }

    // Freezing and freeing, in any order and again, leave the balance.
    function check_a_freeze_leaves_the_balance(uint256 one, bool first, bool second) public {
        hold(ONE, one, first);
        if (second) token.freeze(ONE);
        else token.unfreeze(ONE);
        assert(token.is_frozen(ONE) == second);
        assert(token.balanceOf(ONE) == one);
    }

    // Whatever is minted, the supply is what is held, and no balance reaches the flag.
    function check_minting_never_freezes(uint256 first, uint256 second, uint256 burnt) public {
        try token.mint(address(this), first) {} catch {}
        try token.mint(address(this), second) {} catch {}
        try token.burn(burnt) {} catch {}
        assert(!token.is_frozen(address(this)));
        assert(token.balanceOf(address(this)) == token.totalSupply());
        assert(token.totalSupply() < 2 ** 255);
    }
}
