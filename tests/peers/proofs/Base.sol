// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

// What forge and halmos offer a test, as far as it is used here.
interface Vm {
    function assume(bool condition) external pure;
    function prank(address sender) external;
    function warp(uint256 timestamp) external;
    function addr(uint256 key) external pure returns (address);
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
}

// A token that moves what it is told to.
contract Money {
    mapping(address => uint256) public balanceOf;

    function mint(address account, uint256 amount) external {
        balanceOf[account] += amount;
    }

    function transfer(address receiver, uint256 amount) external returns (bool) {
        return _move(msg.sender, receiver, amount);
    }

    function transferFrom(address sender, address receiver, uint256 amount) external returns (bool) {
        return _move(sender, receiver, amount);
    }

    function _move(address sender, address receiver, uint256 amount) internal returns (bool) {
        balanceOf[sender] -= amount;
        balanceOf[receiver] += amount;
        return true;
    }
}

abstract contract Base {
    Vm internal constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

    function deployed(bytes memory code) internal returns (address at) {
        assembly {
            at := create(0, add(code, 32), mload(code))
        }
        require(at != address(0), "not deployed");
    }
}
