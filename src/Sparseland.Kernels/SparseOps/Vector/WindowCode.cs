using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.SparseOps.Compiled;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>The sums of a window of a <see cref="PreparedSpMV"/> as machine code that is written once a process.</summary>
/// <remarks>
/// <para>Floating point: the inputs of a window stay in eight registers, two for each byte of 128 numbers. Four permutations find the bytes of 64 places and two rounds of unpacking bring them together. Two parts have 29 registers in use in the loop; the compiler of .NET 10 stores and loads
/// sums and inputs in every step.</para>
/// <para>Integers: the 256 inputs of a window, as bytes made unsigned by adding 128, stay in four registers. A step finds the inputs of 64 places with two permutations of 128 bytes each, takes the upper or the lower by the highest
/// bit of the column, and adds their products with 64 values (vpdpbusd, for which C# of .NET 10 has no word in 512 bits). Differences of columns become columns by one multiplication, which adds up four of them.</para>
/// <para>What a group adds to its rows is written here as well: the core does it while it waits for the next steps. Behind the last group of a window memory had nothing to do meanwhile.</para>
/// </remarks>
internal static unsafe class WindowCode
{
    /// <summary>What is read of a part, and where it is added up; the functions leave the first three behind what they have read.</summary>
    public struct Stream
    {
        public byte* Steps, Counts, Heads;

        /// <summary>The sums of the part's rows.</summary>
        public float* Y;
    }

    /// <summary>What the functions read, 8 bytes each.</summary>
    public struct Arguments
    {
        public Stream A;

        /// <summary>Another part, for the functions of two.</summary>
        public Stream B;
        public byte* X;

        /// <summary>The scale of the inputs.</summary>
        public float* Scale;

        /// <summary>64 bytes for each part at an address divisible by 64.</summary>
        public float* Scratch;

        /// <summary>Of each part; at least one.</summary>
        public long Groups;
        public byte* Tables;
    }

    private const int StepsAt = 0, CountsAt = 8, HeadsAt = 16, YAt = 24, StreamBytes = 32, XAt = 64, ScaleAt = 72, ScratchAt = 80, GroupsAt = 88, TablesAt = 96;

    // Inputs in registers 0 to 7; sums from 8 on, four a part.
    private const int Sums = 8, SumsOfPart = 4, Ones = 16, Lower = 17, Shifts = 19, ValueShifts = 20, Odd = 20, Highest = 21, Scale = 22, Before = 23, Columns = 25, Found = 26, Values = 27;

    private const Register Call = Register.Rdi, Groups = Register.R8, Scratch = Register.R10, Row = Register.Rax;

    private static readonly Register[] s_steps = [Register.Rsi, Register.R11], s_counts = [Register.Rdx, Register.Rbx], s_heads = [Register.Rcx, Register.Rbp], s_sums = [Register.R9, Register.R12], s_left = [Register.R13, Register.R14];

    // Bytes ahead that heads are asked for.
    private const int HeadsAhead = 512;

    private static readonly byte* s_tables = MakeTables();

    private static readonly Lazy<Functions?> s_functions = new(Write);

    /// <summary>Whether calls from this thread may use the code.</summary>
    public static bool IsUsable => CompiledMatrix.Usable && s_functions.Value is not null;

    /// <summary>The constants that <see cref="Arguments.Tables"/> names.</summary>
    public static byte* Tables => s_tables;

    /// <summary>
    /// Bytes ahead that steps are asked for: 192, just before the hardware's own requests, which 1 KiB disturbs (Zen 4, one thread, 4096 x 4096 at 50, 30 and 10 % density, in one process in turn, of the time with 1 KiB: singles 0.82, 0.83 and 0.84, bfloat16 0.96, 0.95 and 0.89, 8 bits 0.89, 0.91 and 0.78, 4 bits 0.96 (30 %) and 1.02 (10 %);
    /// 512 bytes 0.92 to 1.05); where units of 512 bits are whole 3 KiB for two parts together, chosen on these very products (Zen 5, one thread, 4096 x 4096 at 10 to 50 % density, in one process, of the time of one part with what follows: 0.74 to 0.85 in every type, with 2 KiB 0.75 to 0.92, with 1 KiB 0.85 to 0.99, not asked for 0.97 to 1.25),
    /// and for a part alone about 13 steps of floating point and 16 to 21 of 8-bit values.
    /// </summary>
    /// <param name="valueBytes">Of a value; 4-bit ones count as 1.</param>
    /// <param name="two">Whether two parts go together.</param>
    public static int StepsAhead(int valueBytes, bool two) => !VectorUnits.AreFullWidth ? 192 : two ? 3072 : valueBytes == sizeof(float) ? 4096 : 2048;

    /// <summary>Calls the function of a form for one part or two; only where <see cref="IsUsable"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Run(Form form, bool two, Arguments* arguments) => ((delegate* unmanaged[SuppressGCTransition]<Arguments*, void>)s_functions.Value!.Address(form, two))(arguments);

    /// <summary>How values and columns lie in a step.</summary>
    public enum Form
    {
        /// <summary>Singles, a byte for each column.</summary>
        Float32,

        /// <summary>Singles, differences of columns.</summary>
        Float32Deltas,

        /// <summary>bfloat16, a byte for each column.</summary>
        BFloat16,

        /// <summary>bfloat16, differences of columns.</summary>
        BFloat16Deltas,

        /// <summary>8-bit values, a byte for each column.</summary>
        Int8,

        /// <summary>8-bit values, differences of columns.</summary>
        Int8Deltas,

        /// <summary>4-bit values, differences of columns; sums are 16 times as large.</summary>
        Int4Deltas,
    }

    private sealed class Functions(ExecutableMemory memory, int[] starts)
    {
        public nint Address(Form form, bool two) => memory.Address + starts[(2 * (int)form) + (two ? 1 : 0)];
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
        var starts = new int[2 * forms.Length];
        for (int i = 0; i < starts.Length; i++)
        {
            code.Align();
            starts[i] = code.Length;
            Function(code, forms[i / 2], 1 + (i % 2));
        }
        return ExecutableMemory.TryCreate(code.Code) is { } memory ? new Functions(memory, starts) : null;
    }

    private static void Function(Assembler a, Form form, int parts)
    {
        bool four = form == Form.Int4Deltas, floats = IsFloat(form);
        int ahead = StepsAhead(ValueBytes(form), parts > 1);
        a.SaveRegisters();
        a.LoadAny(Row, Call, XAt);
        for (int i = 0; i < (floats ? 8 : 4); i++) a.LoadBytes(i, Row, 64 * i, half: false);
        a.LoadAny(Row, Call, TablesAt);
        a.LoadBytes(Shifts, Row, four ? 128 : 64, half: false);
        a.BroadcastConstant(Ones, 0x01010101, Row);
        a.BroadcastConstant(Lower, 0x0F0F0F0F, Row);
        if (floats)
        {
            a.BroadcastConstant(Odd, 0xFFFF0000, Row);
        }
        else
        {
            a.LoadAny(Row, Call, TablesAt);
            a.LoadBytes(ValueShifts, Row, 192, half: false);
            a.BroadcastConstant(Highest, 0xF0F0F0F0, Row);
            a.LoadAny(Row, Call, ScaleAt);
            a.Broadcast(Scale, Row, 0);
        }
        a.LoadAny(Scratch, Call, ScratchAt);
        a.LoadAny(Groups, Call, GroupsAt);
        for (int s = 0; s < parts; s++)
        {
            a.LoadAny(s_steps[s], Call, (StreamBytes * s) + StepsAt);
            a.LoadAny(s_counts[s], Call, (StreamBytes * s) + CountsAt);
            a.LoadAny(s_heads[s], Call, (StreamBytes * s) + HeadsAt);
            a.LoadAny(s_sums[s], Call, (StreamBytes * s) + YAt);
        }
        int group = a.Length;
        for (int s = 0; s < parts; s++) Begin(a, form, s);
        if (parts == 1)
        {
            Steps(a, form, 0, ahead);
        }
        else
        {
            // As many steps as both have, in turn, and what one of them has more.
            int none = a.SkipIfZero(s_left[0]), both = a.Length, first = a.SkipIfZero(s_left[1]);
            for (int s = 0; s < parts; s++) Step(a, form, s, ahead);
            a.Decrement(s_left[1]);
            a.Loop(s_left[0], both);
            a.Land(none);
            Steps(a, form, 1, ahead);
            int done = a.Skip();
            a.Land(first);
            Steps(a, form, 0, ahead);
            a.Land(done);
        }
        for (int s = 0; s < parts; s++) Finish(a, form, s);
        a.Loop(Groups, group);
        for (int s = 0; s < parts; s++)
        {
            a.Store(s_steps[s], Call, (StreamBytes * s) + StepsAt);
            a.Store(s_counts[s], Call, (StreamBytes * s) + CountsAt);
            a.Store(s_heads[s], Call, (StreamBytes * s) + HeadsAt);
        }
        a.ClearUpperHalves();
        a.RestoreRegisters();
        a.Return();
    }

    private static bool IsFloat(Form form) => form <= Form.BFloat16Deltas;

    private static bool HasDeltas(Form form) => form is Form.Float32Deltas or Form.BFloat16Deltas or Form.Int8Deltas or Form.Int4Deltas;

    // 4-bit values count as 1.
    private static int ValueBytes(Form form) => form switch
    {
        Form.Float32 or Form.Float32Deltas => sizeof(float),
        Form.BFloat16 or Form.BFloat16Deltas => sizeof(ushort),
        _ => sizeof(byte),
    };

    private static int StepBytes(Form form) => form == Form.Int4Deltas ? 64 : (WindowLayout.Places * ValueBytes(form)) + (HasDeltas(form) ? 32 : 64);

    /// <summary>The sums of a part's group before its first step, and how many steps it has.</summary>
    private static void Begin(Assembler a, Form form, int part)
    {
        int sum = Sums + (SumsOfPart * part);
        a.LoadByte(s_left[part], s_counts[part], 0);
        a.Add(s_counts[part], 1);
        a.PrefetchNear(s_heads[part], HeadsAhead);
        a.Clear(Before + part);
        if (IsFloat(form))
        {
            for (int i = 0; i < SumsOfPart; i++) a.Clear(sum + i);
            return;
        }
        // Inputs are 128 too large, 4-bit values 16 times as large.
        a.LoadShorts(sum, s_heads[part], WindowLayout.Lanes);
        a.ShiftLeft32(sum, sum, form == Form.Int4Deltas ? 11 : 7);
    }

    /// <summary>The steps that are left of a part's group.</summary>
    private static void Steps(Assembler a, Form form, int part, int ahead)
    {
        int none = a.SkipIfZero(s_left[part]), loop = a.Length;
        Step(a, form, part, ahead);
        a.Loop(s_left[part], loop);
        a.Land(none);
    }

    private static void Step(Assembler a, Form form, int part, int ahead)
    {
        Register step = s_steps[part];
        int bytes = StepBytes(form), valueBytes = WindowLayout.Places * ValueBytes(form), sum = Sums + (SumsOfPart * part);
        for (int line = 0; line < bytes; line += 64) a.PrefetchNear(step, ahead + line);
        if (form == Form.Int4Deltas)
        {
            a.LoadBytes(Values, step, 0, half: false);
            a.MultiShift(Columns, Shifts, Values);
            a.MultiShift(Values, ValueShifts, Values);
            a.And(Values, Values, Highest);
        }
        else if (HasDeltas(form))
        {
            a.LoadPairs(Columns, step, valueBytes);
            a.MultiShift(Columns, Shifts, Columns);
        }
        else
        {
            a.LoadBytes(Columns, step, valueBytes, half: false);
        }
        if (HasDeltas(form))
        {
            a.And(Columns, Columns, Lower);
            // The column before is added to the first difference, and the last one is all differences together.
            a.AddIntegers(Found, Columns, Before + part);
            a.DotBytes(Before + part, Columns, Ones);
            a.MultiplyLow32(Columns, Found, Ones);
        }
        if (IsFloat(form))
        {
            Floats(a, step, sum, ValueBytes(form) == sizeof(float));
        }
        else
        {
            if (form != Form.Int4Deltas) a.LoadBytes(Values, step, 0, half: false);
            a.Copy(Found, Columns);
            a.PickBytes(Found, 0, 1);
            a.SignsToMask(1, Columns);
            a.PickBytes(Columns, 2, 3);
            a.CopyBytesMasked(Found, 1, Columns);
            a.DotBytes(sum, Found, Values);
        }
        a.Add(step, bytes);
    }

    /// <summary>Adds four registers of products to their sums: the bytes of 64 inputs are found one after the other and unpacked to numbers.</summary>
    private static void Floats(Assembler a, Register step, int sum, bool singles)
    {
        const int A = 26, B = 27, C = 28, D = Columns, LowAb = 29, X0 = 30, X2 = 31, X1 = LowAb, X3 = A, Value = B, Even = C;
        int[] bytes = [A, B, C];
        for (int i = 0; i < bytes.Length; i++)
        {
            a.Copy(bytes[i], Columns);
            a.PickBytes(bytes[i], 2 * i, (2 * i) + 1);
        }
        a.PickBytes(D, 6, 7);
        a.UnpackBytes(LowAb, A, B, high: false);
        a.UnpackBytes(A, A, B, high: true);
        a.UnpackBytes(B, C, D, high: false);
        a.UnpackBytes(C, C, D, high: true);
        a.UnpackShorts(X0, LowAb, B, high: false);
        a.UnpackShorts(X1, LowAb, B, high: true);
        a.UnpackShorts(X2, A, C, high: false);
        a.UnpackShorts(X3, A, C, high: true);
        int[] inputs = [X0, X1, X2, X3];
        for (int i = 0; i < SumsOfPart; i += singles ? 1 : 2)
        {
            a.LoadBytes(Value, step, singles ? 64 * i : 32 * i, half: false);
            if (singles)
            {
                a.MultiplyAdd(sum + i, inputs[i], Value);
                continue;
            }
            a.ShiftLeft32(Even, Value, 16);
            a.And(Value, Value, Odd);
            a.MultiplyAdd(sum + i, inputs[i], Even);
            a.MultiplyAdd(sum + i + 1, inputs[i + 1], Value);
        }
    }

    /// <summary>Adds a group's sums to its rows.</summary>
    private static void Finish(Assembler a, Form form, int part)
    {
        int sum = Sums + (SumsOfPart * part);
        bool four = form == Form.Int4Deltas;
        Register head = s_heads[part];
        if (IsFloat(form))
        {
            // Of every lane: places 0 and 2, and 1 and 3, then both.
            for (int i = 0; i < SumsOfPart; i += 2)
            {
                a.UnpackSingles(Columns, sum + i, sum + i + 1, high: false);
                a.UnpackSingles(Found, sum + i, sum + i + 1, high: true);
                a.AddSingles(sum + i, Columns, Found);
            }
            a.UnpackDoubles(Columns, sum, sum + 2, high: false);
            a.UnpackDoubles(Found, sum, sum + 2, high: true);
            a.AddSingles(sum, Columns, Found);
        }
        else
        {
            if (four) a.ShiftRight32(sum, sum, 4);
            a.ToSingle(sum, sum);
            if (four)
            {
                a.LoadHalves(Columns, head, 3 * WindowLayout.Lanes);
                a.Multiply(Columns, Columns, Scale);
            }
            a.Multiply(sum, sum, four ? Columns : Scale);
        }
        a.StoreBytes(sum, Scratch, 64 * part);
        for (int lane = 0; lane < WindowLayout.Lanes; lane++)
        {
            a.LoadByte(Row, head, lane);
            a.AddSingleTo(s_sums[part], Row, Found, Scratch, (64 * part) + (sizeof(float) * lane));
        }
        a.Add(head, WindowLayout.Lanes * (IsFloat(form) ? 1 : four ? 5 : 3));
    }
}
