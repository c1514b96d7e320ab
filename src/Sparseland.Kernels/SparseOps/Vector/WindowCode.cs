using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.SparseOps.Compiled;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>The integer sums of a window of a <see cref="PreparedSpMV"/> as machine code that is written once a process.</summary>
/// <remarks>
/// <para>The 256 inputs of a window, as bytes made unsigned by adding 128, stay in four registers. A step finds the inputs of 64 places with two permutations of 128 bytes each, takes the upper or the lower by the highest
/// bit of the column, and adds their products with 64 values (vpdpbusd, for which C# of .NET 10 has no word in 512 bits). Differences of columns become columns by one multiplication, which adds up four of them.</para>
/// <para>What a group adds to its rows is written here as well: the core does it while it waits for the next steps. Behind the last group of a window memory had nothing to do meanwhile.</para>
/// </remarks>
internal static unsafe class WindowCode
{
    /// <summary>What the functions read, 8 bytes each; they leave the first three behind what they have read.</summary>
    public struct Arguments
    {
        public byte* Steps, Counts, Heads, X;

        /// <summary>The sums of the part's rows.</summary>
        public float* Y;

        /// <summary>The scale of the inputs.</summary>
        public float* Scale;

        /// <summary>64 bytes at an address divisible by 64.</summary>
        public float* Scratch;
        public long Groups;
        public byte* Tables;
    }

    private const int StepsAt = 0, CountsAt = 8, HeadsAt = 16, XAt = 24, YAt = 32, ScaleAt = 40, ScratchAt = 48, GroupsAt = 56, TablesAt = 64;

    private const Register Call = Register.Rdi, Step = Register.Rsi, Counts = Register.Rdx, Head = Register.Rcx, Groups = Register.R8, Counter = Register.Rax, Y = Register.R9, Scratch = Register.R10, Row = Register.Rax;

    // Bytes ahead that heads are asked for.
    private const int HeadsAhead = 512;

    private static readonly byte* s_tables = MakeTables();

    private static readonly Lazy<Functions?> s_functions = new(Write);

    /// <summary>Whether calls from this thread may use the code.</summary>
    public static bool IsUsable => CompiledMatrix.Usable && s_functions.Value is not null;

    /// <summary>The constants that <see cref="Arguments.Tables"/> names.</summary>
    public static byte* Tables => s_tables;

    /// <summary>
    /// Bytes ahead that steps are asked for: 1 KiB, and where units of 512 bits are whole about 13 steps of floating point (Zen 5, one thread, 4096 x 4096 at 10 to 50 % density, of the time with 1 KiB: singles with 4 KiB 0.84 to 0.95, with 2 KiB 0.89 to 0.98; bfloat16 with 2 KiB 0.93 to 0.99),
    /// and 16 to 21 of 8-bit values (with 2 KiB 0.89 to 1.05, with 4 KiB 0.96 to 1.01). 4-bit ones were not measured there.
    /// </summary>
    /// <param name="valueBytes">Of a value; 4-bit ones count as 1.</param>
    public static int StepsAhead(int valueBytes) => !VectorUnits.AreFullWidth ? 1024 : valueBytes == sizeof(float) ? 4096 : 2048;

    /// <summary>Calls the function of a form; only where <see cref="IsUsable"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Run(Form form, Arguments* arguments) => ((delegate* unmanaged[SuppressGCTransition]<Arguments*, void>)s_functions.Value!.Address(form))(arguments);

    /// <summary>How values and columns lie in a step.</summary>
    public enum Form
    {
        /// <summary>8-bit values, a byte for each column.</summary>
        Int8,

        /// <summary>8-bit values, differences of columns.</summary>
        Int8Deltas,

        /// <summary>4-bit values, differences of columns; sums are 16 times as large.</summary>
        Int4Deltas,
    }

    private sealed class Functions(ExecutableMemory memory, int[] starts)
    {
        public nint Address(Form form) => memory.Address + starts[(int)form];
    }

    // The last byte of every four, and where a multi-shift finds the next bits: four differences from 32 bits each; differences and, at the upper end of bytes, values of two lanes.
    private static byte* MakeTables()
    {
        byte* tables = (byte*)NativeMemory.AlignedAlloc(4 * 64, 64);
        for (int i = 0; i < 64; i++)
        {
            int lane = i / 4 % 2, slot = i % 4;
            tables[i] = (byte)((i & 12) + 3);
            tables[64 + i] = (byte)(4 * (i % 8));
            tables[128 + i] = (byte)((32 * lane) + (4 * slot));
            tables[192 + i] = (byte)((32 * lane) + 12 + (4 * slot));
        }
        return tables;
    }

    private static Functions? Write()
    {
        // ECX of leaf 7: VBMI (1), VNNI (11).
        const int Needed = (1 << 1) | (1 << 11);
        if (!X86Base.IsSupported || !Avx512BW.IsSupported || (X86Base.CpuId(7, 0).Ecx & Needed) != Needed) return null;
        var code = new Assembler();
        Form[] forms = Enum.GetValues<Form>();
        var starts = new int[forms.Length];
        foreach (Form form in forms)
        {
            code.Align();
            starts[(int)form] = code.Length;
            Function(code, form);
        }
        return ExecutableMemory.TryCreate(code.Code) is { } memory ? new Functions(memory, starts) : null;
    }

    // Inputs in registers 0 to 3, sums in 8, the column before in 9.
    private static void Function(Assembler a, Form form)
    {
        const int Sum = 8, Before = 9, Columns = 10, Found = 11, Values = 13, Ones = 16, Lower = 17, Last = 18, Shifts = 19, ValueShifts = 20, Highest = 21, Scale = 22;
        a.LoadAny(Step, Call, XAt);
        for (int i = 0; i < 4; i++) a.LoadBytes(i, Step, 64 * i, half: false);
        a.LoadAny(Step, Call, TablesAt);
        a.LoadBytes(Last, Step, 0, half: false);
        a.LoadBytes(Shifts, Step, form == Form.Int4Deltas ? 128 : 64, half: false);
        a.LoadBytes(ValueShifts, Step, 192, half: false);
        a.BroadcastConstant(Ones, 0x01010101, Counter);
        a.BroadcastConstant(Lower, 0x0F0F0F0F, Counter);
        a.BroadcastConstant(Highest, 0xF0F0F0F0, Counter);
        a.LoadAny(Step, Call, ScaleAt);
        a.Broadcast(Scale, Step, 0);
        a.LoadAny(Step, Call, StepsAt);
        a.LoadAny(Counts, Call, CountsAt);
        a.LoadAny(Head, Call, HeadsAt);
        a.LoadAny(Y, Call, YAt);
        a.LoadAny(Scratch, Call, ScratchAt);
        a.LoadAny(Groups, Call, GroupsAt);
        bool four = form == Form.Int4Deltas;
        int ahead = StepsAhead(1);
        int group = a.Length;
        a.LoadByte(Counter, Counts, 0);
        a.Add(Counts, 1);
        a.PrefetchNear(Head, HeadsAhead);
        // Inputs are 128 too large, 4-bit values 16 times as large.
        a.LoadShorts(Sum, Head, WindowLayout.Lanes);
        a.ShiftLeft32(Sum, Sum, four ? 11 : 7);
        a.Clear(Before);
        int none = a.SkipIfZero(Counter), loop = a.Length;
        a.PrefetchNear(Step, ahead);
        switch (form)
        {
            case Form.Int8:
                a.PrefetchNear(Step, ahead + 64);
                a.LoadBytes(Columns, Step, 64, half: false);
                a.LoadBytes(Values, Step, 0, half: false);
                break;
            case Form.Int8Deltas:
                a.PrefetchNear(Step, ahead + 64);
                a.LoadPairs(Columns, Step, 64);
                a.MultiShift(Columns, Shifts, Columns);
                a.And(Columns, Columns, Lower);
                a.LoadBytes(Values, Step, 0, half: false);
                break;
            default:
                a.LoadBytes(Values, Step, 0, half: false);
                a.MultiShift(Columns, Shifts, Values);
                a.MultiShift(Values, ValueShifts, Values);
                a.And(Columns, Columns, Lower);
                a.And(Values, Values, Highest);
                break;
        }
        if (form != Form.Int8)
        {
            a.MultiplyLow32(Columns, Columns, Ones);
            a.AddBytes(Columns, Columns, Before);
            a.ShuffleBytes(Before, Columns, Last);
        }
        a.Copy(Found, Columns);
        a.PickBytes(Found, 0, 1);
        a.SignsToMask(1, Columns);
        a.PickBytes(Columns, 2, 3);
        a.CopyBytesMasked(Found, 1, Columns);
        a.DotBytes(Sum, Found, Values);
        a.Add(Step, form switch { Form.Int8 => 128, Form.Int8Deltas => 96, _ => 64 });
        a.Loop(Counter, loop);
        a.Land(none);
        if (four) a.ShiftRight32(Sum, Sum, 4);
        a.ToSingle(Sum, Sum);
        if (four)
        {
            a.LoadHalves(Columns, Head, 3 * WindowLayout.Lanes);
            a.Multiply(Columns, Columns, Scale);
        }
        a.Multiply(Sum, Sum, four ? Columns : Scale);
        a.StoreBytes(Sum, Scratch, 0);
        for (int lane = 0; lane < WindowLayout.Lanes; lane++)
        {
            a.LoadByte(Row, Head, lane);
            a.AddSingleTo(Y, Row, Found, Scratch, sizeof(float) * lane);
        }
        a.Add(Head, WindowLayout.Lanes * (four ? 5 : 3));
        a.Loop(Groups, group);
        a.Store(Step, Call, StepsAt);
        a.Store(Counts, Call, CountsAt);
        a.Store(Head, Call, HeadsAt);
        a.ClearUpperHalves();
        a.Return();
    }
}
