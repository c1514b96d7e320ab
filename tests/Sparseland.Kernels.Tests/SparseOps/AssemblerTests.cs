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
        Check("vmovups [rdx+4096], ymm8", "C57C118200100000", a => a.Store256(8, Register.Rdx, 4096));
        Check("vbroadcastss ymm12, [rdx-4]", "C4627D1862FC", a => a.Broadcast256(12, Register.Rdx, -4));
        Check("vmaskmovps ymm6, ymm13, [r8+32]", "C4C2152C7020", a => a.LoadMasked256(6, 13, Register.R8, 32));
        Check("vmaskmovps [r15], ymm14, ymm7", "C4C20D2E3F", a => a.StoreMasked256(7, 14, Register.R15, 0));
        Check("vfmadd231ps ymm0, ymm12, ymm9", "C4C21DB8C1", a => a.MultiplyAdd256(0, 12, 9));
        Check("vfmadd231ps ymm10, ymm4, [rcx+32]", "C4625DB85120", a => a.MultiplyAdd256(10, 4, Register.Rcx, 32));
        Check("vfmadd231ps ymm10, ymm4, [rsi+r14-160]", "C4225DB8943660FFFFFF", a => a.MultiplyAdd256(10, 4, Register.Rsi, Register.R14, -160));
        Check("vfmadd231ps ymm15, ymm1, [r13+r15]", "C40275B87C3D00", a => a.MultiplyAdd256(15, 1, Register.R13, Register.R15, 0));
        Check("vfmadd231ps ymm2, ymm3, [rbx+rax+8]", "C4E265B8540308", a => a.MultiplyAdd256(2, 3, Register.Rbx, Register.Rax, 8));
        Check("vfmadd231ps xmm10, xmm4, [rsi+rbp]", "C46259B8142E", a => a.MultiplyAdd256(10, 4, Register.Rsi, Register.Rbp, 0, lanes: 4));
        Check("vaddps ymm1, ymm12, ymm13", "C4C11C58CD", a => a.Add256(1, 12, 13));
        Check("vaddps ymm9, ymm2, [r11+7]", "C4416C584B07", a => a.Add256(9, 2, Register.R11, 7));
        Check("vmaxps ymm1, ymm2, ymm8", "C4C16C5FC8", a => a.Max256(1, 2, 8));
        Check("vminps xmm8, xmm2, xmm3", "C5685DC3", a => a.Min256(8, 2, 3, lanes: 4));
        Check("vxorps xmm9, xmm9, xmm9", "C4413057C9", a => a.Clear256(9));
        Check("vmovaps ymm10, ymm2", "C57C28D2", a => a.Copy256(10, 2));
        Check("vinsertf128 ymm2, ymm10, xmm11, 1", "C4C32D18D301", a => a.JoinLanes256(2, 10, 11));
        Check("vextractf128 xmm2, ymm13, 1", "C4637D19EA01", a => a.UpperLanes256(2, 13));
        Check("vextractps [rdi+4], xmm9, 2", "C46379174F0402", a => a.StoreLane256(9, 2, Register.Rdi, 4));
        Check("vextractps [r10], xmm1, 3", "C4C379170A03", a => a.StoreLane256(1, 3, Register.R10, 0));
        Check("vinsertps xmm9, xmm9, [rdi+4], 0x20", "C46331214F0420", a => a.LoadLane256(9, 2, Register.Rdi, 4));
        Check("vinsertps xmm3, xmm3, [r12-8], 0x10", "C4C361215C24F810", a => a.LoadLane256(3, 1, Register.R12, -8));
    }

    [Fact]
    public void General_instructions_of_tiles_are_those_of_the_reference_assembler()
    {
        Check("shr rax, 1", "48C1E801", a => a.ShiftRight(Register.Rax, 1));
        Check("shr r9, 5", "49C1E905", a => a.ShiftRight(Register.R9, 5));
        Check("test rcx, 1; jz behind the test of r10 and its jump", "48F7C1010000000F840D00000049F7C2010000000F8400000000", a =>
        {
            int even = a.SkipIfEven(Register.Rcx);
            a.Land(a.SkipIfEven(Register.R10));
            a.Land(even);
        });
    }

    private static void Check(string text, string expected, Action<Assembler> write)
    {
        var assembler = new Assembler();
        write(assembler);
        Assert.True(expected == Convert.ToHexString(assembler.Code), $"{text}: {Convert.ToHexString(assembler.Code)}, expected {expected}");
    }
}
