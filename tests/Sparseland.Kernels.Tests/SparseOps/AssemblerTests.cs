using Sparseland.Kernels.SparseOps.Compiled;

namespace Sparseland.Kernels.Tests.SparseOps;

/// <summary>Bytes of instructions beside those that GNU as writes for the text in front of them.</summary>
public class AssemblerTests
{
    [Fact]
    public void Vector_instructions_without_AVX512_are_those_of_the_reference_assembler()
    {
        Check("vmovups ymm3, [rdi]", "C5FC101F", a => a.Load256(3, Register.Rdi, 0));
        Check("vmovups ymm11, [r12+64]", "C4417C105C2440", a => a.Load256(11, Register.R12, 64));
        Check("vmovups ymm1, [rbp]", "C5FC104D00", a => a.Load256(1, Register.Rbp, 0));
        Check("vmovups ymm1, [r13+128]", "C4C17C108D80000000", a => a.Load256(1, Register.R13, 128));
        Check("vmovups xmm9, [rsi-128]", "C578104E80", a => a.Load256(9, Register.Rsi, -128, lanes: 4));
        Check("vmovups ymm2, [rsi+r14]", "C4A17C101436", a => a.Load256(2, Register.Rsi, Register.R14, 0));
        Check("vmovups ymm15, [r13+r15]", "C4017C107C3D00", a => a.Load256(15, Register.R13, Register.R15, 0));
        Check("vmovups [rdx+4096], ymm8", "C57C118200100000", a => a.Store256(8, Register.Rdx, 4096));
        Check("vmovups [rbx+rax+8], ymm4", "C5FC11640308", a => a.Store256(4, Register.Rbx, Register.Rax, 8));
        Check("vbroadcastss ymm12, [rdx-4]", "C4627D1862FC", a => a.Broadcast256(12, Register.Rdx, -4));
        Check("vbroadcastss ymm5, [r9+r10+4]", "C4827D186C1104", a => a.Broadcast256(5, Register.R9, Register.R10, 4));
        Check("vmaskmovps ymm6, ymm13, [r8+32]", "C4C2152C7020", a => a.LoadMasked256(6, 13, Register.R8, 32));
        Check("vmaskmovps [r15], ymm14, ymm7", "C4C20D2E3F", a => a.StoreMasked256(7, 14, Register.R15, 0));
        Check("vfmadd231ps ymm0, ymm12, ymm9", "C4C21DB8C1", a => a.MultiplyAdd256(0, 12, 9));
        Check("vfmadd231ps ymm10, ymm4, [rcx+32]", "C4625DB85120", a => a.MultiplyAdd256(10, 4, Register.Rcx, 32));
        Check("vfmadd231ps ymm10, ymm4, [rsi+r14-160]", "C4225DB8943660FFFFFF", a => a.MultiplyAdd256(10, 4, Register.Rsi, Register.R14, -160));
        Check("vfmadd231ps xmm10, xmm4, [rsi+rbp]", "C46259B8142E", a => a.MultiplyAdd256(10, 4, Register.Rsi, Register.Rbp, 0, lanes: 4));
        Check("vmulps ymm1, ymm2, ymm3", "C5EC59CB", a => a.Multiply256(1, 2, 3));
        Check("vaddps ymm1, ymm12, ymm13", "C4C11C58CD", a => a.Add256(1, 12, 13));
        Check("vaddps ymm9, ymm2, [r11+7]", "C4416C584B07", a => a.Add256(9, 2, Register.R11, 7));
        Check("vmaxps ymm1, ymm2, ymm8", "C4C16C5FC8", a => a.Max256(1, 2, 8));
        Check("vminps xmm8, xmm2, xmm3", "C5685DC3", a => a.Min256(8, 2, 3, lanes: 4));
        Check("vxorps ymm4, ymm5, ymm6", "C5D457E6", a => a.Xor256(4, 5, 6));
        Check("vandps ymm14, ymm15, ymm6", "C50454F6", a => a.And256(14, 15, 6));
        Check("vxorps xmm9, xmm9, xmm9", "C4413057C9", a => a.Clear256(9));
        Check("vmovaps ymm10, ymm2", "C57C28D2", a => a.Copy256(10, 2));
        Check("vpermps ymm2, ymm10, ymm3", "C4E22D16D3", a => a.Permute256(2, 10, 3));
        Check("vinsertf128 ymm2, ymm10, xmm11, 1", "C4C32D18D301", a => a.JoinLanes256(2, 10, 11));
        Check("vextractf128 xmm2, ymm13, 1", "C4637D19EA01", a => a.UpperLanes256(2, 13));
    }

    private static void Check(string text, string expected, Action<Assembler> write)
    {
        var assembler = new Assembler();
        write(assembler);
        Assert.True(expected == Convert.ToHexString(assembler.Code), $"{text}: {Convert.ToHexString(assembler.Code)}, expected {expected}");
    }
}
